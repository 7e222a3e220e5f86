// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/unit/platform/diagnosis_bench.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;

constexpr std::uint64_t kVm = 1, kClient = 7, kVcpu = 5;
constexpr rmap::ActorId kReclaimer = 0;

/// What led to a guest on core 3 reading pfn 0x1a2b at 1300 ns, though core 0 had freed it at 1250.
struct Story : test::EventStream {
    Story() { in(kUnmap); }
    Story& enter(std::uint64_t vcpu = kVcpu) {
        return on(kCore).emit(Event::kKvmEntry, {kVm, vcpu}), *this;
    }
    Story& leave(std::uint64_t vcpu = kVcpu) {
        return on(kCore).emit(Event::kVmExit, {kVm, vcpu, 1}), *this;
    }
    Story& serve() { return on(kCore).emit(Event::kKvmTlbFlush, {kVm, kVcpu}), *this; }
    Story& lookup() {
        return on(kCore).emit(Event::kKvmHvaToPfn, {kClient, kMm, kVa, kPfn, kGen}), *this;
    }
    Story& make(std::uint64_t generation = kGen, std::uint64_t va = kVa) {
        on(kCore).emit(Event::kSpteSet, {kClient, kMm, va, 0x37, kPfn, generation});
        return *this;
    }
    Story& remove(std::uint64_t va = kVa) {
        return on(kReclaimer).emit(Event::kSpteClear, {kClient, kMm, va, 0, kPfn, kGen}), *this;
    }
    Story& section(std::uint64_t ret = 0) {
        return on(kReclaimer).emit(Event::kMnStartRet, {kMm, kVa, kEnd, ret}), *this;
    }
    Story& end() { return on(kReclaimer).emit(Event::kMnEnd, {kMm, kVa, kEnd, 0}), *this; }
    Story& clear(std::uint64_t mm = kMm) {
        on(kReclaimer).emit(Event::kPtepClearFlush, {mm, kVa, 0, 0x67, kPfn, kGen});
        return *this;
    }
    Story& flush(std::uint64_t vm = kVm) {
        return on(kReclaimer).emit(Event::kKvmFlushRemoteTlbs, {vm}), *this;
    }
    Story& request(std::uint64_t kicked = 1, std::uint64_t vcpu = kVcpu) {
        return on(kReclaimer).emit(Event::kKvmMakeRequest, {kVm, vcpu, 1, kicked}), *this;
    }
    Story& flush_ret() {
        return on(kReclaimer).emit(Event::kKvmFlushRemoteTlbsRet, {kVm, 8}), *this;
    }
    Story& time(std::uint64_t ns) { return at(ns), *this; }
};

/// In the guest with the entry in use; the next event is at 1000 ns.
Story running() { return Story().time(400).lookup().make().enter().time(1000); }

StaleUse stale_use(std::uint64_t filled_ns = 500) {
    StaleUse use = stale_use_by(kCore, filled_ns);
    use.access.vm = kVm;
    return use;
}

Diagnosis diagnosis(const Story& story, const StaleUse& use = stale_use()) {
    return diagnose_after(story, use);
}
std::string missing(const Story& story, const StaleUse& use = stale_use()) {
    return diagnosis(story, use).missing;
}

TEST_CASE("diagnosis of a guest: the host's own entry was not cleared, or late", "[unit][oracle]") {
    CHECK(missing(running()) ==
          "the PTE of mm 2 va 0x100000003000 was not cleared before the free at 1250 ns");
    CHECK(missing(running().time(1280).clear()) ==
          "the PTE of mm 2 va 0x100000003000 was cleared at 1280 ns, 30 ns after the free");
    CHECK(missing(running().clear(9)) ==
          "mis-tagged: used in mm 2, but what was cleared is of mm 9");
}

TEST_CASE("diagnosis of a guest: the second-stage entry was not removed", "[unit][oracle]") {
    const auto result = diagnosis(running().clear());
    CHECK(result.missing ==
          "the second-stage entry of mm 2 va 0x100000003000 was not removed before the free at "
          "1250 ns");
    CHECK(result.operation == kUnmap);
    CHECK(missing(running().remove(kEnd).clear()) == result.missing);
    CHECK(missing(running().clear().time(1290).remove()) ==
          "the second-stage entry of mm 2 va 0x100000003000 was removed at 1290 ns, 40 ns after "
          "the free");
    StaleUse sealed = stale_use();
    sealed.end.kind = FrameEndKind::kSealed;
    CHECK(missing(running().clear(), sealed).find("the hand-over of its content") !=
          std::string::npos);
}

TEST_CASE("diagnosis of a guest: no second-stage entry was ever made", "[unit][oracle]") {
    const std::string none =
        "mis-tagged: no second-stage entry of mm 2 va 0x100000003000 led to the frame";
    CHECK(missing(Story().enter().time(1000).clear()) == none);
    CHECK(missing(Story().enter().make(kGen - 1).make(kGen, kEnd).time(1000).clear()) == none);
    CHECK(missing(Story().enter().time(1000).clear().time(1301).make()) == none);
}

TEST_CASE("diagnosis of a guest: no flush, or too late", "[unit][oracle]") {
    const std::string none =
        "no kvm_flush_remote_tlbs followed the removal of the second-stage entry of mm 2 va "
        "0x100000003000 at 1000 ns";
    CHECK(missing(running().remove().clear()) == none);
    CHECK(missing(running().remove().flush(9).flush_ret().clear()) == none);
    CHECK(missing(running().time(900).flush().flush_ret().time(1000).remove().clear()) == none);
    CHECK(missing(running().remove().clear().time(1270).flush()) ==
          "kvm_flush_remote_tlbs came at 1270 ns, 20 ns after the free");
}

TEST_CASE("diagnosis of a guest: the flush left out the vCPU", "[unit][oracle]") {
    const std::string left_out = "kvm_flush_remote_tlbs at 1010 ns left no request for vCPU 5";
    CHECK(missing(running().remove().flush().flush_ret().clear()) == left_out);
    CHECK(missing(running().remove().flush().request(1, 6).flush_ret().clear()) == left_out);
    CHECK(missing(running().remove().flush().flush_ret().request().clear()) == left_out);
}

TEST_CASE("diagnosis of a guest: the vCPU was not stopped", "[unit][oracle]") {
    const std::string missed = "kvm_flush_remote_tlbs at 1010 ns did not stop vCPU 5";
    CHECK(missing(running().remove().flush().request(0).flush_ret().clear()) == missed);
    CHECK(missing(running().remove().flush().request(0).flush_ret().clear().time(1400).leave()) ==
          missed);
    CHECK(missing(running().remove().flush().request(1).flush_ret().clear()) == missed);
    CHECK(missing(running().remove().flush().request(1).clear().time(1310).leave()) ==
          "vCPU 5 left the guest at 1310 ns, 60 ns after the free");
}

TEST_CASE("diagnosis of a guest: the request was not served", "[unit][oracle]") {
    CHECK(missing(running().remove().flush().request().leave().flush_ret().clear().enter()) ==
          "the request of vCPU 5 at 1020 ns was not served before its next entry at 1060 ns");
    // It was outside all the time; another vCPU's flush does not help.
    Story outside = Story().time(400).lookup().make().enter().leave().time(1000);
    outside.remove().flush().request(0).flush_ret().clear();
    outside.on(4).emit(Event::kKvmTlbFlush, {kVm, kVcpu + 1});
    CHECK(missing(outside.enter()) ==
          "the request of vCPU 5 at 1020 ns was not served before its next entry at 1060 ns");
}

TEST_CASE("diagnosis of a guest: the entry survived or came after the flush", "[unit][oracle]") {
    const auto served = [](std::uint64_t filled) {
        Story story = running();
        story.remove().flush().request().leave().flush_ret().clear().serve().enter();
        return missing(story, stale_use(filled));
    };
    CHECK(served(500) == "mis-tagged: vCPU 5 flushed at 1060 ns and kept the entry");
    CHECK(served(1060) ==
          "filled at 1060 ns from the second-stage entry that was removed at 1000 ns, after vCPU 5 "
          "had flushed at 1060 ns");
}

TEST_CASE("diagnosis of a guest: the entry was made again inside the section", "[unit][oracle]") {
    CHECK(missing(running().remove().section().lookup().make().clear().end()) ==
          "the second-stage entry of mm 2 va 0x100000003000 was made again at 1030 ns, inside the "
          "section [0x100000003000, 0x100000004000) that was open since 1010 ns");
    CHECK(missing(running().remove().section().make().clear()).find("made again at 1020 ns") !=
          std::string::npos);
    // A refused START opens nothing.
    CHECK(missing(running().remove().section(1).make().clear()).find("was not removed") !=
          std::string::npos);
}

TEST_CASE("diagnosis of a guest: the entry was made again after an old lookup", "[unit][oracle]") {
    CHECK(
        missing(running().lookup().section().remove().clear().end().make()) ==
        "the second-stage entry of mm 2 va 0x100000003000 was made again at 1050 ns after a "
        "lookup at 1000 ns, older than the end of the section [0x100000003000, 0x100000004000) at "
        "1040 ns");
}

TEST_CASE("diagnosis of a guest: another section of the range does not matter", "[unit][oracle]") {
    Story story = Story().time(300).section().end().lookup().make().enter().time(1000);
    CHECK(missing(story.section().clear().end()).find("was not removed before") !=
          std::string::npos);
}

TEST_CASE("diagnosis of a guest: admits what it has forgotten", "[unit][oracle]") {
    const std::string dropped = "unknown: history dropped";
    Story entries = running();
    for (std::size_t i = 0; i < SecondaryHistory::kKept; ++i) entries.time(1000).make(9, kEnd);
    CHECK(missing(entries.clear()) == dropped);
    Story flushes = running().remove();
    for (std::size_t i = 0; i <= SecondaryHistory::kKept; ++i) flushes.time(1100).flush(9);
    CHECK(missing(flushes.clear()) == dropped);
    Story vcpus = running().remove().flush().request().flush_ret().clear();
    for (std::size_t i = 0; i <= SecondaryHistory::kKept; ++i) vcpus.time(1100).leave(6);
    CHECK(missing(vcpus) == dropped);
}

}  // namespace
}  // namespace mmusim::platform
