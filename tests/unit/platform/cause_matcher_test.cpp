// SPDX-License-Identifier: Apache-2.0
#include "platform/report/cause_matcher.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/support/event_stream.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kVector = 252;
const rmap::OperationId kOperation = rmap::operation_id(0, 1);
const rmap::OperationId kOther = rmap::operation_id(5, 1);

/// "ipi_send@0 > call_function_entry@1" per arrow, with the time of its cause if wanted.
std::vector<std::string> arrows(const EventStream& stream, bool times = false) {
    CauseMatcher matcher;
    std::vector<std::string> found;
    for (const auto& record : stream.records())
        for (const Arrow& arrow : matcher.on_record(record)) {
            const auto end = [&](const rmap::EventRecord& r) {
                std::string text(rmap::info(r.event).name);
                text += "@" + std::to_string(r.actor);
                return times ? text + "+" + std::to_string(r.time.ps / 1000) : text;
            };
            found.push_back(end(arrow.from) + " > " + end(arrow.to));
        }
    return found;
}

using Arrows = std::vector<std::string>;

TEST_CASE("causes: every rule is about arguments that its events have", "[unit][report]") {
    CHECK_NOTHROW(CauseMatcher());
    std::set<std::string_view> names;
    for (const CauseRule& rule : cause_table()) {
        INFO(rule.name);
        CHECK(names.insert(rule.name).second);
        CHECK_FALSE(rule.meaning.empty());
        CHECK_FALSE(words(rule.match).empty());
        CHECK(rule.to[0].has_value());
    }
}

TEST_CASE("causes: arguments are found by name, without their notation", "[unit][report]") {
    CHECK(argument_index(Event::kIpiSend, "cpumask") == 1u);
    CHECK(argument_index(Event::kTlbFlush, "reason") == 0u);
    CHECK_FALSE(argument_index(Event::kIpiSend, "pfn").has_value());
    CHECK(words("  a bc  d ") == std::vector<std::string_view>{"a", "bc", "d"});
}

TEST_CASE("causes: an interrupt starts the handler of each CPU in its mask once",
          "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).emit(Event::kIpiSend, {kVector, 0b0110});
    for (rmap::ActorId cpu : {2u, 1u, 3u, 2u})
        stream.on(cpu).emit(Event::kCallFunctionEntry, {kVector});
    CHECK(arrows(stream) ==
          Arrows{"ipi_send@0 > call_function_entry@2", "ipi_send@0 > call_function_entry@1"});
}

TEST_CASE("causes: a handler of another vector or operation is not this interrupt's",
          "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).emit(Event::kIpiSend, {kVector, 0b0010});
    stream.on(1).in(kOther).emit(Event::kCallFunctionEntry, {kVector});
    stream.in(kOperation).emit(Event::kCallFunctionEntry, {kVector - 1});
    stream.emit(Event::kCallFunctionSingleEntry, {kVector});
    CHECK(arrows(stream) == Arrows{"ipi_send@0 > call_function_single_entry@1"});
}

TEST_CASE("causes: the next interrupt of a CPU ends the wait for targets of the last",
          "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).at(10).emit(Event::kIpiSend, {kVector, 0b0010});
    stream.at(20).emit(Event::kIpiSend, {kVector, 0b0010});
    stream.at(30).on(1).emit(Event::kCallFunctionEntry, {kVector});
    stream.at(40).emit(Event::kCallFunctionEntry, {kVector});
    CHECK(arrows(stream, true) == Arrows{"ipi_send@0+20 > call_function_entry@1+30"});
}

TEST_CASE("causes: CPUs beyond the first word of a mask are matched without it", "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).emit(Event::kIpiSend, {kVector, 0});
    stream.on(63).emit(Event::kCallFunctionEntry, {kVector});
    stream.on(64).emit(Event::kCallFunctionEntry, {kVector});
    CHECK(arrows(stream) == Arrows{"ipi_send@0 > call_function_entry@64"});
}

TEST_CASE("causes: the initiator goes on after all acknowledgements to it", "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).on(1).emit(Event::kCallFunctionAck, {0});
    stream.on(2).emit(Event::kCallFunctionAck, {0});
    stream.on(3).in(kOther).emit(Event::kCallFunctionAck, {5});
    stream.on(0).in(kOperation).emit(Event::kFlushTlbOthersRet);
    stream.emit(Event::kFlushTlbOthersRet);
    CHECK(arrows(stream) == Arrows{"call_function_ack@1 > flush_tlb_others_ret@0",
                                   "call_function_ack@2 > flush_tlb_others_ret@0"});
}

TEST_CASE("causes: an acknowledgement ends one wait, whichever kind comes first",
          "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).on(1).emit(Event::kCallFunctionAck, {0});
    stream.on(0).emit(Event::kKvmFlushRemoteTlbsRet, {1, 0b10});
    stream.emit(Event::kFlushTlbOthersRet);
    CHECK(arrows(stream) == Arrows{"call_function_ack@1 > kvm_flush_remote_tlbs_ret@0"});
}

TEST_CASE("causes: the initiator's own second turn is where it goes on", "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).on(1).emit(Event::kFlushTlbFuncRemote, {0, 0, 0, 0});
    stream.emit(Event::kCallFunctionAck, {0});
    stream.on(2).emit(Event::kFlushTlbFuncRemote, {0, 0, 0, 0});
    stream.on(0).emit(Event::kFlushTlbFuncRemote, {0, 0, 0, 0}).emit(Event::kFlushTlbOthersRet);
    CHECK(arrows(stream) == Arrows{"call_function_ack@1 > flush_tlb_func_remote@0"});
}

TEST_CASE("causes: a request makes its vCPU leave if it was kicked, and flush in any case",
          "[unit][report]") {
    EventStream stream;
    stream.in(kOperation).emit(Event::kKvmMakeRequest, {1, 0, 1, 1});
    stream.emit(Event::kKvmMakeRequest, {1, 1, 0, 0});
    stream.in(0).on(4).emit(Event::kVmExit, {1, 0, 1}).emit(Event::kKvmTlbFlush, {1, 0});
    stream.on(5).emit(Event::kVmExit, {1, 1, 1}).emit(Event::kKvmTlbFlush, {1, 1});
    stream.on(6).emit(Event::kKvmTlbFlush, {2, 0});
    CHECK(arrows(stream) == Arrows{"kvm_make_request@0 > vm_exit@4",
                                   "kvm_make_request@0 > kvm_vcpu_flush_tlb@4",
                                   "kvm_make_request@0 > kvm_vcpu_flush_tlb@5"});
}

TEST_CASE("causes: one flush of a vCPU serves all requests to it", "[unit][report]") {
    EventStream stream;
    stream.at(10).emit(Event::kKvmMakeRequest, {1, 0, 0, 0});
    stream.at(20).on(1).emit(Event::kKvmMakeRequest, {1, 0, 0, 0});
    stream.at(30).on(4).emit(Event::kKvmTlbFlush, {1, 0});
    CHECK(arrows(stream, true) == Arrows{"kvm_make_request@0+10 > kvm_vcpu_flush_tlb@4+30",
                                         "kvm_make_request@1+20 > kvm_vcpu_flush_tlb@4+30"});
}

TEST_CASE("causes: descriptors and waits belong to the operation that submitted them",
          "[unit][report]") {
    EventStream stream;
    stream.at(10).in(kOperation).emit(Event::kQiTail, {7});
    stream.at(20).on(1).in(kOther).emit(Event::kQiTail, {8});
    stream.at(30).on(9).emit(Event::kIommuDescriptor, {2, 6, 1, 0, 0x4000});
    stream.at(40).in(kOperation).emit(Event::kIommuDescriptor, {0, 6, 1, 0, 0x4000});
    stream.at(50).emit(Event::kIommuWaitDone, {1, 0x80});
    stream.at(60).on(1).in(kOther).emit(Event::kQiSubmitRet, {8});
    stream.at(70).on(0).in(kOperation).emit(Event::kQiSubmitRet, {7});
    CHECK(arrows(stream, true) == Arrows{"iqt_write@1+20 > iommu_descriptor@9+30",
                                         "iqt_write@0+10 > iommu_descriptor@9+40",
                                         "iommu_wait_done@9+50 > qi_submit_sync_ret@0+70"});
}

TEST_CASE("causes: invalidations of a device are asked for and completed in turn",
          "[unit][report]") {
    EventStream stream;
    stream.on(9);
    stream.at(10).emit(Event::kAtsInvalidateRequest, {3, 1, 0x1000, 0x2000});
    stream.at(20).emit(Event::kAtsInvalidateRequest, {3, 1, 0x1000, 0x2000});
    stream.at(30).emit(Event::kAtsInvalidateRequest, {4, 1, 0x1000, 0x2000});
    stream.on(10);
    stream.at(40).emit(Event::kAtcInvalidated, {3, 1, 0x1000, 0x2000});
    stream.at(50).emit(Event::kAtcInvalidated, {3, 1, 0x1000, 0x2000});
    stream.at(60).emit(Event::kAtsInvalidateCompletion, {3, 1, 0x1000, 0x2000, 0});
    stream.at(70).on(9).emit(Event::kAtsInvalidateDone, {3, 2, 0x1000, 0x2000});
    stream.at(80).emit(Event::kAtsInvalidateDone, {3, 1, 0x1000, 0x2000});
    CHECK(arrows(stream, true) ==
          Arrows{"ats_invalidate_request@9+10 > atc_invalidated@10+40",
                 "ats_invalidate_request@9+20 > atc_invalidated@10+50",
                 "ats_invalidate_completion@10+60 > ats_invalidate_done@9+80"});
}

TEST_CASE("causes: those without an effect are forgotten in the end", "[unit][report]") {
    EventStream stream;
    for (std::uint64_t i = 0; i <= CauseMatcher::kMostWaiting; ++i)
        stream.at(10 + i).emit(Event::kKvmMakeRequest, {i, 0, 0, 0});
    stream.at(1000).emit(Event::kKvmTlbFlush, {0, 0}).emit(Event::kKvmTlbFlush, {1, 0});
    CHECK(arrows(stream, true) == Arrows{"kvm_make_request@0+11 > kvm_vcpu_flush_tlb@0+1010"});
}

}  // namespace
}  // namespace mmusim::platform
