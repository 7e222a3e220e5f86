// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/rules/n1_change_in_section.hpp"
#include "rmap/types/cpu_mask.hpp"
#include "rmap/types/pte.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using rmap::Pte;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x100000000000, kEnd = kVa + 0x1000, kPfn = 0x1a2b;
constexpr std::uint64_t kWritable = Pte::present_entry({kPfn}, Pte::kWritable).raw();
constexpr std::uint64_t kReadOnly = Pte::present_entry({kPfn}, 0).raw();

struct Stream : EventStream {
    Stream& watched(std::uint64_t mm = kMm) { return emit(Event::kMnRegister, {1, mm}), *this; }
    Stream& start(std::uint64_t start = kVa, std::uint64_t end = kEnd, std::uint64_t mm = kMm,
                  std::uint64_t ret = 0) {
        emit(Event::kMnStart, {mm, start, end, 1});
        return emit(Event::kMnStartRet, {mm, start, end, ret}), *this;
    }
    Stream& end(std::uint64_t start = kVa, std::uint64_t end = kEnd, std::uint64_t only = 0) {
        return emit(Event::kMnEnd, {kMm, start, end, only}), *this;
    }
    Stream& clear(Event how = Event::kPtepClearFlush, std::uint64_t pte = kWritable) {
        return emit(how, {kMm, kVa, 0, pte, kPfn, 4}), *this;
    }
    Stream& set(std::uint64_t pte, Event how = Event::kPteSet) {
        return emit(how, {kMm, kVa, 0, pte, kPfn, 4}), *this;
    }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) {
    return test::judge<ChangeInSectionMonitor>(stream);
}

TEST_CASE("rule N1: clears inside an open section pass", "[unit][oracle]") {
    for (const Event how : {Event::kPtepClearFlush, Event::kPteClear, Event::kPteClearDefer}) {
        const auto verdict = judge(Stream().watched().start().clear(how).end());
        CHECK(verdict.judged == 1);
        CHECK(verdict.violated == 0);
    }
    // Of munmap: a wide section, and one of another operation that ends inside it.
    CHECK(judge(Stream()
                    .start(0, ~std::uint64_t{0})
                    .by(1)
                    .start()
                    .end()
                    .by(0)
                    .clear(Event::kPteClear)
                    .end(0, ~std::uint64_t{0}))
              .violated == 0);
    // Sec is a time, not a CPU: a section of another CPU keeps clients away just as well.
    CHECK(judge(Stream().start().by(1).clear()).violated == 0);
}

TEST_CASE("rule N1: a clear outside any section breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().watched().clear());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "the entry of mm 2 va 0x100000000000 was removed outside any open section");
    CHECK(verdict.breaches[0].translation == "mm 2 va 0x100000000000 -> pfn 0x1a2b gen 4");
    CHECK(judge(Stream().start().end().clear()).violated == 1);
    CHECK(judge(Stream().watched().clear().start().end()).violated == 1);
}

TEST_CASE("rule N1: a section opens when START returns, and not if it was refused",
          "[unit][oracle]") {
    Stream calling;
    calling.emit(Event::kMnStart, {kMm, kVa, kEnd, 1});
    CHECK(judge(calling.clear()).violated == 1);
    CHECK(judge(Stream().start(kVa, kEnd, kMm, 1).clear()).violated == 1);
}

TEST_CASE("rule N1: a section of another range or mm does not help", "[unit][oracle]") {
    const auto verdict = judge(Stream().start(kEnd, kEnd + 0x1000).clear());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "the entry of mm 2 va 0x100000000000 was removed outside any open section; "
          "[0x100000001000, 0x100000002000) does not cover it");
    CHECK(judge(Stream().watched().start(kVa, kEnd, kMm + 1).clear()).violated == 1);
    CHECK(judge(Stream().start(kVa - 0x1000, kVa).clear()).violated == 1);
}

TEST_CASE("rule N1: an mm without notifiers is not judged", "[unit][oracle]") {
    const auto verdict = judge(Stream().watched(kMm + 1).clear());
    CHECK(verdict.judged == 0);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule N1: entries that were not present may go at any time", "[unit][oracle]") {
    const std::uint64_t migration = Pte::migration_entry({kPfn}, true).raw();
    CHECK(judge(Stream().watched().clear(Event::kPteClear, migration)).judged == 0);
    // The old value put back, remove_migration_pte, a fault, more permissions, accessed and dirty.
    Stream stream;
    stream.watched().start().clear().set(migration, Event::kPteSetMigration).end();
    stream.set(kReadOnly).set(kWritable).set(kWritable | Pte::kAccessed | Pte::kDirty);
    stream.set(kWritable);
    CHECK(judge(stream).judged == 1);
    CHECK(judge(stream).violated == 0);
    for (const Event restored : {Event::kPteRestore, Event::kPteRestoreLazyfree})
        CHECK(judge(Stream().start().clear().set(kWritable, restored).end()).judged == 1);
    // page_mkclean: nothing more is lost than the clear has taken.
    stream = Stream();
    stream.watched().start().clear().set(kReadOnly, Event::kMkcleanSetPte).end();
    CHECK(judge(stream.set(kWritable)).violated == 0);
}

TEST_CASE("rule N1: losing a permission or the page outside a section breaks it",
          "[unit][oracle]") {
    const auto missing = [](std::uint64_t now, Event how = Event::kPteSet) {
        const auto verdict = judge(Stream().watched().set(kWritable).set(now, how));
        CHECK(verdict.violated == 1);
        return verdict.missing();
    };
    CHECK(missing(kReadOnly) ==
          "the entry of mm 2 va 0x100000000000 lost a permission outside any open section");
    CHECK(missing(kReadOnly, Event::kMkcleanSetPte).find("lost a permission") != std::string::npos);
    CHECK(missing(kWritable | Pte::kNoExecute).find("lost a permission") != std::string::npos);
    CHECK(missing(Pte::present_entry({kPfn + 1}, Pte::kWritable).raw()).find("was replaced") !=
          std::string::npos);
    CHECK(missing(Pte::swap_entry(0, 7).raw(), Event::kPteSetSwap).find("was removed") !=
          std::string::npos);
    // In a section, as fork does it.
    const auto fork = judge(Stream().watched().set(kWritable).start().set(kReadOnly).end());
    CHECK(fork.judged == 1);
    CHECK(fork.violated == 0);
}

TEST_CASE("rule N1: remembers a bounded number of entries", "[unit][oracle]") {
    Stream stream;
    stream.watched().set(kWritable);
    for (std::uint64_t i = 0; i < kMonitorCapacity; ++i)
        stream.emit(Event::kPteSet, {kMm, kEnd + i * 0x1000, 0, kWritable, kPfn, 4});
    CHECK(judge(stream.set(kReadOnly)).judged == 0);
}

TEST_CASE("rule N1: as many sections of an mm as CPUs can open at a time are remembered",
          "[unit][oracle]") {
    // Every CPU is inside one section and has opened another in it.
    Stream stream;
    stream.watched().start();
    for (rmap::ActorId cpu = 1; cpu < 2 * rmap::kMaxCpus; ++cpu)
        stream.by(cpu % rmap::kMaxCpus).start(kVa + cpu * 0x1000, kVa + (cpu + 1) * 0x1000);
    const auto verdict = judge(stream.by(0).clear());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
}

}  // namespace
}  // namespace mmusim::platform
