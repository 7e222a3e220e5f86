// SPDX-License-Identifier: Apache-2.0
#include "notifiers/notifier_chain.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "rmap/types/check.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::PlainMachine;
using Lines = std::vector<std::string>;

namespace {

constexpr MmId kMm = 2;
constexpr VirtRange kRange{{0x1000}, {0x3000}};

/// Writes each of its calls to a diary that all clients of a test share.
class DiaryClient final : public NotifierClient {
public:
    DiaryClient(std::string name, NotifierOps ops, Lines& diary)
        : name_(std::move(name)), ops_(ops), diary_(diary) {}

    std::string_view name() const override { return name_; }
    NotifierOps ops() const override { return ops_; }
    void release(Cpu&, MmId) override { write("release"); }
    StartResult invalidate_range_start(Cpu&, const NotifierRange& range) override {
        write("start");
        return range.blockable ? StartResult::kDone : answer_if_not_blockable;
    }
    void invalidate_range_end(Cpu&, const NotifierRange&) override { write("end"); }
    void invalidate_range(Cpu&, MmId, VirtRange) override { write("invalidate"); }
    bool clear_flush_young(Cpu&, MmId, VirtRange) override {
        write("young");
        return young;
    }

    bool clear_young(Cpu&, MmId, VirtRange) override {
        write("idle");
        return young;
    }

    void change_pte(Cpu&, MmId, VirtAddr, Pte, Generation) override { write("change"); }

    StartResult answer_if_not_blockable = StartResult::kDone;
    bool young = false;

private:
    void write(const std::string& op) { diary_.push_back(name_ + "." + op); }

    const std::string name_;
    const NotifierOps ops_;
    Lines& diary_;
};

constexpr NotifierOps kAllOps{true, true, true, true, true};
constexpr NotifierOps kShadowOps{true, true, true, true, false};
constexpr NotifierOps kSharedTableOps{true, false, false, false, true};

struct Bench {
    PlainMachine machine{1};
    Cpu& cpu = machine.cpu(0);
    NotifierChain chain;
    Lines diary;
    NotifierRange range{kMm, kRange, true};

    Duration charged(Part part) { return machine.time(0).charged()[part]; }
    Duration call() { return machine.costs().notifier_call; }
};

}  // namespace

TEST_CASE("notifier chain: without a client nothing is emitted and no time passes",
          "[unit][notifiers]") {
    Bench bench;
    DiaryClient client("a", kAllOps, bench.diary);
    bench.chain.register_client(kMm + 1, client);
    CHECK_FALSE(bench.chain.mm_has_notifiers(kMm));
    bench.chain.invalidate_range_start(bench.cpu, bench.range);
    bench.chain.invalidate_range(bench.cpu, kMm, kRange);
    CHECK_FALSE(bench.chain.clear_flush_young(bench.cpu, kMm, kRange));
    bench.chain.invalidate_range_end(bench.cpu, bench.range);
    bench.chain.invalidate_range_only_end(bench.cpu, bench.range);
    CHECK(bench.diary.empty());
    CHECK(bench.machine.trace().records().empty());
    CHECK(bench.cpu.now() == Instant{});
}

TEST_CASE("notifier chain: the last client registered is called first", "[unit][notifiers]") {
    Bench bench;
    DiaryClient first("first", kAllOps, bench.diary);
    DiaryClient second("second", kAllOps, bench.diary);
    bench.chain.register_client(kMm, first);
    bench.chain.register_client(kMm, second);
    bench.chain.invalidate_range_start(bench.cpu, bench.range);
    bench.chain.invalidate_range(bench.cpu, kMm, kRange);
    CHECK(bench.diary ==
          Lines{"second.start", "first.start", "second.invalidate", "first.invalidate"});
}

TEST_CASE("notifier chain: the end invalidates per client and then ends it", "[unit][notifiers]") {
    Bench bench;
    DiaryClient first("first", kAllOps, bench.diary);
    DiaryClient second("second", kAllOps, bench.diary);
    bench.chain.register_client(kMm, first);
    bench.chain.register_client(kMm, second);
    bench.chain.invalidate_range_end(bench.cpu, bench.range);
    CHECK(bench.diary == Lines{"second.invalidate", "second.end", "first.invalidate", "first.end"});
    CHECK(bench.charged(Part::kNotifierInvalidate) == bench.call() * 2);
    CHECK(bench.charged(Part::kNotifierEnd) == bench.call() * 2);
}

TEST_CASE("notifier chain: the only-end form does not invalidate", "[unit][notifiers]") {
    Bench bench;
    DiaryClient client("a", kAllOps, bench.diary);
    bench.chain.register_client(kMm, client);
    bench.chain.invalidate_range_only_end(bench.cpu, bench.range);
    CHECK(bench.diary == Lines{"a.end"});
    CHECK(bench.machine.trace().lines({"only_end"}) ==
          Lines{"mn_range_end only_end=1", "mn_range_end_ret"});
}

TEST_CASE("notifier chain: an operation that a client lacks is neither called nor paid",
          "[unit][notifiers]") {
    Bench bench;
    DiaryClient shadow("shadow", kShadowOps, bench.diary);
    DiaryClient shared("shared", kSharedTableOps, bench.diary);
    bench.chain.register_client(kMm, shadow);
    bench.chain.register_client(kMm, shared);
    bench.chain.invalidate_range_start(bench.cpu, bench.range);
    bench.chain.invalidate_range_end(bench.cpu, bench.range);
    bench.chain.clear_flush_young(bench.cpu, kMm, kRange);
    CHECK(bench.diary == Lines{"shadow.start", "shared.invalidate", "shadow.end", "shadow.young"});
    CHECK(bench.charged(Part::kNotifierStart) == bench.call());
    CHECK(bench.charged(Part::kNotifierInvalidate) == bench.call());
    CHECK(bench.charged(Part::kNotifierEnd) == bench.call());
    CHECK(bench.charged(Part::kNotifierAging) == bench.call());
    CHECK(bench.machine.time(0).charged().sum() == bench.call() * 4);
}

TEST_CASE("notifier chain: events carry the mm and the range and frame the callbacks",
          "[unit][notifiers]") {
    Bench bench;
    DiaryClient client("a", kAllOps, bench.diary);
    bench.chain.register_client(kMm, client);
    bench.chain.invalidate_range_start(bench.cpu, bench.range);
    bench.chain.invalidate_range(bench.cpu, kMm, kRange);
    bench.chain.clear_flush_young(bench.cpu, kMm, kRange);
    bench.chain.invalidate_range_end(bench.cpu, bench.range);
    const std::string where = " mm=2 start=0x1000 end=0x3000";
    CHECK(bench.machine.trace().lines({"mm", "start", "end", "blockable", "only_end", "ret"}) ==
          Lines{"mn_range_start" + where + " blockable=1", "mn_range_start_ret" + where + " ret=0",
                "mn_range" + where, "mn_clear_flush_young" + where,
                "mn_clear_flush_young_ret ret=0", "mn_range_end" + where + " only_end=0",
                "mn_range_end_ret" + where});
    const auto& trace = bench.machine.trace();
    CHECK(trace.first(Event::kMnStartRet).time - trace.first(Event::kMnStart).time == bench.call());
}

TEST_CASE("notifier chain: young is the answer of any client and all are asked",
          "[unit][notifiers]") {
    Bench bench;
    DiaryClient old("old", kAllOps, bench.diary);
    DiaryClient young("young", kAllOps, bench.diary);
    young.young = true;
    bench.chain.register_client(kMm, old);
    CHECK_FALSE(bench.chain.clear_flush_young(bench.cpu, kMm, kRange));
    bench.diary.clear();
    bench.chain.register_client(kMm, young);
    CHECK(bench.chain.clear_flush_young(bench.cpu, kMm, kRange));
    CHECK(bench.diary == Lines{"young.young", "old.young"});
}

TEST_CASE("notifier chain: clear_young asks all clients that have it and costs their calls",
          "[unit][notifiers]") {
    Bench bench;
    CHECK_FALSE(bench.chain.clear_young(bench.cpu, kMm, kRange));  // nobody to ask
    CHECK(bench.machine.trace().records().empty());
    NotifierOps ops = kAllOps;
    ops.clear_young = true;
    DiaryClient old("old", ops, bench.diary);
    DiaryClient young("young", ops, bench.diary);
    DiaryClient without("without", kAllOps, bench.diary);
    young.young = true;
    for (DiaryClient* client : {&old, &young, &without}) bench.chain.register_client(kMm, *client);
    CHECK(bench.chain.clear_young(bench.cpu, kMm, kRange));
    CHECK(bench.diary == Lines{"young.idle", "old.idle"});
    CHECK(bench.machine.trace().lines({"start", "end", "ret"}) ==
          Lines{"mn_clear_young start=0x1000 end=0x3000", "mn_clear_young_ret ret=1"});
}

TEST_CASE("notifier chain: change_pte calls all clients that have it", "[unit][notifiers]") {
    Bench bench;
    const Pte pte = Pte::present_entry({0x77}, Pte::kAccessed);    // 0x77025
    bench.chain.change_pte(bench.cpu, kMm, kRange.start, pte, 3);  // nobody to tell
    CHECK(bench.machine.trace().records().empty());
    NotifierOps ops = kAllOps;
    ops.change_pte = true;
    DiaryClient one("one", ops, bench.diary);
    DiaryClient other("other", ops, bench.diary);
    DiaryClient without("without", kAllOps, bench.diary);
    for (DiaryClient* client : {&one, &other, &without}) bench.chain.register_client(kMm, *client);
    bench.chain.change_pte(bench.cpu, kMm, kRange.start, pte, 3);
    CHECK(bench.diary == Lines{"other.change", "one.change"});
    CHECK(bench.charged(Part::kNotifierChangePte) == bench.call() * 2);
    CHECK(bench.machine.trace().lines({"mm", "addr", "pte"}) ==
          Lines{"mn_change_pte mm=2 addr=0x1000 pte=0x77025"});
}

TEST_CASE("notifier chain: one refusal refuses the start but all clients are called",
          "[unit][notifiers]") {
    Bench bench;
    DiaryClient willing("willing", kAllOps, bench.diary);
    DiaryClient busy("busy", kAllOps, bench.diary);
    busy.answer_if_not_blockable = StartResult::kTryAgain;
    bench.chain.register_client(kMm, willing);
    const NotifierRange nonblock{kMm, kRange, false};
    CHECK(bench.chain.invalidate_range_start_nonblock(bench.cpu, nonblock) == StartResult::kDone);
    bench.diary.clear();
    bench.machine.trace().clear();
    bench.chain.register_client(kMm, busy);
    CHECK(bench.chain.invalidate_range_start_nonblock(bench.cpu, nonblock) ==
          StartResult::kTryAgain);
    CHECK(bench.diary == Lines{"busy.start", "willing.start"});
    CHECK(bench.machine.trace().lines({"blockable", "ret"}) ==
          Lines{"mn_range_start blockable=0", "mn_range_start_ret ret=1"});
    // The form that may sleep cannot fail, and each form has its kind of range.
    CHECK_NOTHROW(bench.chain.invalidate_range_start(bench.cpu, bench.range));
    CHECK_THROWS_AS(bench.chain.invalidate_range_start(bench.cpu, nonblock), InvariantError);
    CHECK_THROWS_AS(bench.chain.invalidate_range_start_nonblock(bench.cpu, bench.range),
                    InvariantError);
}

TEST_CASE("notifier chain: after the last client left the mm still counts as watched",
          "[unit][notifiers]") {
    Bench bench;
    DiaryClient client("a", kAllOps, bench.diary);
    bench.chain.register_client(kMm, client);
    bench.chain.unregister_client(bench.cpu, kMm, client);
    CHECK(bench.diary == Lines{"a.release"});
    CHECK(bench.chain.mm_has_notifiers(kMm));

    bench.chain.invalidate_range_start(bench.cpu, bench.range);
    CHECK(bench.diary.size() == 1);
    CHECK(bench.machine.trace().names() == Lines{"mn_range_start", "mn_range_start_ret"});
    CHECK_THROWS_AS(bench.chain.unregister_client(bench.cpu, kMm, client), InvariantError);
}

TEST_CASE("notifier chain: the release calls every client once and leaves an empty list",
          "[unit][notifiers]") {
    Bench bench;
    DiaryClient first("first", kAllOps, bench.diary);
    DiaryClient second("second", kAllOps, bench.diary);
    bench.chain.register_client(kMm, first);
    bench.chain.register_client(kMm, second);
    bench.chain.register_client(kMm + 1, first);
    bench.chain.release(bench.cpu, kMm);
    CHECK(bench.diary == Lines{"second.release", "first.release"});
    CHECK(bench.machine.trace().names() == Lines{"mn_release", "mn_release_ret"});
    CHECK(bench.charged(Part::kNotifierRelease) ==
          bench.call() * 2 + bench.machine.costs().synchronize_srcu);

    bench.machine.trace().clear();
    bench.chain.invalidate_range_start(bench.cpu, bench.range);
    bench.chain.invalidate_range_end(bench.cpu, bench.range);
    bench.chain.release(bench.cpu, kMm);
    CHECK(bench.diary.size() == 2);
    CHECK(bench.chain.mm_has_notifiers(kMm));
    CHECK(bench.machine.trace().count(Event::kMnStart) == 1);
    bench.chain.invalidate_range(bench.cpu, kMm + 1, kRange);
    CHECK(bench.diary.back() == "first.invalidate");
}

TEST_CASE("notifier chain: other CPUs see a list emptied when they see a store",
          "[unit][notifiers]") {
    PlainMachine machine{2};
    NotifierChain chain;
    Lines diary;
    DiaryClient client("a", kSharedTableOps, diary);
    chain.register_client(kMm, client);
    machine.costs().synchronize_srcu = nanoseconds(1);
    chain.release(machine.cpu(0), kMm);
    const Duration seen = machine.costs().notifier_call + machine.plain_costs().visibility;
    machine.time(1).idle_until(Instant{} + (seen - picoseconds(1)));
    chain.invalidate_range(machine.cpu(1), kMm, kRange);
    CHECK(diary == Lines{"a.release", "a.invalidate"});
    chain.invalidate_range(machine.cpu(1), kMm, kRange);
    CHECK(diary.size() == 2);
}

TEST_CASE("N22: the release waits for calls of any mm that are under way", "[unit][notifiers]") {
    PlainMachine machine{2};
    NotifierChain chain;
    Lines diary;
    DiaryClient client("a", kAllOps, diary);
    chain.register_client(kMm, client);
    chain.register_client(kMm + 1, client);
    machine.costs().synchronize_srcu = nanoseconds(1);
    machine.costs().notifier_call = nanoseconds(5000);
    chain.invalidate_range_start(machine.cpu(1), {kMm + 1, kRange, true});
    machine.costs().notifier_call = nanoseconds(1);
    chain.release(machine.cpu(0), kMm);
    CHECK(machine.cpu(0).now() >= machine.cpu(1).now());
    CHECK(machine.cpu(0).now() - machine.cpu(1).now() < nanoseconds(1));
}

TEST_CASE("notifier chain: a client is registered once per mm", "[unit][notifiers]") {
    Bench bench;
    DiaryClient client("a", kAllOps, bench.diary);
    bench.chain.register_client(kMm, client);
    CHECK_THROWS_AS(bench.chain.register_client(kMm, client), InvariantError);
    CHECK_NOTHROW(bench.chain.register_client(kMm + 1, client));
}
