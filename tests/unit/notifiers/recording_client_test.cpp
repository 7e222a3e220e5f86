// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/recording_client.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::PlainMachine;
using Lines = std::vector<std::string>;
using Op = RecordingClient::Op;
using Recorded = RecordingClient::Recorded;

namespace {

constexpr MmId kMm = 2;
constexpr VirtAddr kFirst{0x1000};
constexpr VirtAddr kSecond{0x2000};
constexpr VirtAddr kThird{0x3000};
constexpr NotifierRange kSection{kMm, {kFirst, kThird}, true};  // the first two

struct Bench {
    PlainMachine machine{2};
    Cpu& cpu = machine.cpu(0);
    RecordingClient client{config(), machine};

    static RecordingClient::Config config() {
        RecordingClient::Config result;
        result.id = 5;
        result.keep = RecordingClient::Keep::kCalls;
        return result;
    }
    Recorded access(VirtAddr address) {
        return client.record_access(cpu, kMm, address, client.sequence(cpu, kMm));
    }
    void start() { client.invalidate_range_start(cpu, kSection); }
    void end() { client.invalidate_range_end(cpu, kSection); }
};

}  // namespace

TEST_CASE("recording client: a start forgets its range and nothing else", "[unit][notifiers]") {
    Bench bench;
    for (const VirtAddr address : {kFirst, kSecond, kThird})
        CHECK(bench.access(address) == Recorded::kYes);
    CHECK(bench.client.recorded_pages(kMm) == 3);
    bench.start();
    CHECK(bench.client.recorded_pages(kMm) == 1);
    bench.end();
    CHECK(bench.client.clear_flush_young(bench.cpu, kMm, {kThird, kThird + kPageSize}));
}

TEST_CASE("recording client: the start counts before it forgets and then returns",
          "[unit][notifiers]") {
    Bench bench;
    bench.start();
    const std::string where = " client=5 mm=2 start=0x1000 end=0x3000";
    CHECK(bench.machine.trace().lines({"client", "mm", "start", "end", "count", "sequence"}) ==
          Lines{"client_start" + where, "client_count client=5 mm=2 count=1 sequence=0",
                "client_zapped" + where, "client_start_ret" + where});
    // All of it in one hold of the lock: taken once, dropped once.
    CHECK(bench.machine.memory().accesses.size() == 2);
}

TEST_CASE("recording client: the end raises the sequence and lowers the count in one hold",
          "[unit][notifiers]") {
    Bench bench;
    bench.start();
    bench.machine.trace().clear();
    bench.machine.memory().accesses.clear();
    bench.end();
    CHECK(bench.machine.trace().lines({"client", "mm", "start", "end", "count", "sequence"}) ==
          Lines{"client_count client=5 mm=2 count=0 sequence=1",
                "client_end client=5 mm=2 start=0x1000 end=0x3000"});
    CHECK(bench.machine.memory().accesses.size() == 2);
}

TEST_CASE("recording client: an access is recorded only if no section touched it",
          "[unit][notifiers]") {
    // The access takes the sequence, looks the page up, and records it; the section's start and
    // end fall in any place between.
    Bench bench;
    SECTION("section before") {
        bench.start();
        bench.end();
        const auto sequence = bench.client.sequence(bench.cpu, kMm);
        CHECK(bench.client.record_access(bench.cpu, kMm, kFirst, sequence) == Recorded::kYes);
    }
    SECTION("section open all the time") {
        bench.start();
        const auto sequence = bench.client.sequence(bench.cpu, kMm);
        CHECK(bench.client.record_access(bench.cpu, kMm, kFirst, sequence) == Recorded::kRetry);
    }
    SECTION("start in between") {
        const auto sequence = bench.client.sequence(bench.cpu, kMm);
        bench.start();
        CHECK(bench.client.record_access(bench.cpu, kMm, kFirst, sequence) == Recorded::kRetry);
    }
    SECTION("end in between") {
        bench.start();
        const auto sequence = bench.client.sequence(bench.cpu, kMm);
        bench.end();
        CHECK(bench.client.record_access(bench.cpu, kMm, kFirst, sequence) == Recorded::kRetry);
    }
    SECTION("whole section in between") {
        const auto sequence = bench.client.sequence(bench.cpu, kMm);
        bench.start();
        bench.end();
        CHECK(bench.client.record_access(bench.cpu, kMm, kFirst, sequence) == Recorded::kRetry);
    }
}

TEST_CASE("recording client: sections nest and the last end opens the range again",
          "[unit][notifiers]") {
    Bench bench;
    bench.start();
    bench.start();
    CHECK(bench.client.active_sections(kMm) == 2);
    bench.end();
    CHECK(bench.access(kFirst) == Recorded::kRetry);
    bench.end();
    CHECK(bench.access(kFirst) == Recorded::kYes);
}

TEST_CASE("recording client: an end without a start closes no other section", "[unit][notifiers]") {
    Bench bench;
    bench.end();
    CHECK(bench.client.active_sections(kMm) == 0);
    bench.start();
    CHECK(bench.client.active_sections(kMm) == 1);
    CHECK(bench.access(kFirst) == Recorded::kRetry);
}

TEST_CASE("recording client: it refuses to sleep where it has recorded pages and nowhere else",
          "[unit][notifiers]") {
    PlainMachine machine{1};
    Cpu& cpu = machine.cpu(0);
    RecordingClient::Config config;
    config.needs_sleep = true;
    RecordingClient client(config, machine);
    const NotifierRange nonblock{kMm, kSection.range, false};
    const auto record = [&](VirtAddr address) {
        return client.record_access(cpu, kMm, address, client.sequence(cpu, kMm));
    };
    record(kThird);  // the first address behind the range
    CHECK(client.invalidate_range_start(cpu, nonblock) == StartResult::kDone);
    client.invalidate_range_end(cpu, nonblock);

    record(kSecond);
    machine.trace().clear();
    CHECK(client.invalidate_range_start(cpu, nonblock) == StartResult::kTryAgain);
    // Refused means that nothing happened: no section, no event, and the page is still there.
    CHECK(client.active_sections(kMm) == 0);
    CHECK(client.recorded_pages(kMm) == 2);
    CHECK(client.count(Op::kStart) == 1);
    CHECK(client.refused_starts() == 1);
    CHECK(machine.trace().records().empty());

    CHECK(client.invalidate_range_start(cpu, kSection) == StartResult::kDone);
    CHECK(client.recorded_pages(kMm) == 1);

    // One that need not sleep never refuses.
    Bench bench;
    bench.access(kFirst);
    CHECK(bench.client.invalidate_range_start(bench.cpu, nonblock) == StartResult::kDone);
    CHECK(bench.client.recorded_pages(kMm) == 0);
}

TEST_CASE("recording client: address spaces are counted apart", "[unit][notifiers]") {
    Bench bench;
    bench.start();
    const MmId other = kMm + 1;
    CHECK(bench.client.record_access(bench.cpu, other, kFirst,
                                     bench.client.sequence(bench.cpu, other)) == Recorded::kYes);
    CHECK(bench.client.active_sections(other) == 0);
}

TEST_CASE("recording client: aging clears what was accessed since the last time",
          "[unit][notifiers]") {
    Bench bench;
    bench.access(kFirst);
    const VirtRange page{kFirst, kSecond};
    CHECK_FALSE(bench.client.clear_flush_young(bench.cpu, kMm, {kSecond, kThird}));
    CHECK(bench.client.clear_flush_young(bench.cpu, kMm, page));
    CHECK_FALSE(bench.client.clear_flush_young(bench.cpu, kMm, page));
    CHECK(bench.client.recorded_pages(kMm) == 1);
}

TEST_CASE("recording client: after the release nothing is recorded any more", "[unit][notifiers]") {
    Bench bench;
    bench.access(kFirst);
    bench.client.release(bench.cpu, kMm);
    CHECK(bench.client.recorded_pages(kMm) == 0);
    CHECK(bench.access(kFirst) == Recorded::kRetry);
}

TEST_CASE("recording client: invalidate_range forgets without opening a section",
          "[unit][notifiers]") {
    Bench bench;
    bench.access(kFirst);
    bench.client.invalidate_range(bench.cpu, kMm, {kFirst, kSecond});
    CHECK(bench.client.recorded_pages(kMm) == 0);
    CHECK(bench.access(kFirst) == Recorded::kYes);
}

TEST_CASE("recording client: change_pte forgets the page and raises the sequence",
          "[unit][notifiers]") {
    Bench bench;
    bench.access(kFirst);
    const std::uint64_t before = bench.client.sequence(bench.cpu, kMm);
    bench.client.change_pte(bench.cpu, kMm, kFirst, Pte::present_entry({0x77}, 0), 1);
    CHECK(bench.client.recorded_pages(kMm) == 0);
    CHECK(bench.client.count(Op::kChangePte) == 1);
    CHECK(bench.client.record_access(bench.cpu, kMm, kFirst, before) == Recorded::kRetry);
}

TEST_CASE("recording client: it tells the calls it got", "[unit][notifiers]") {
    Bench bench;
    bench.start();
    bench.client.invalidate_range(bench.cpu, kMm, {kFirst, kSecond});
    bench.end();
    CHECK(bench.client.count(Op::kStart) == 1);
    CHECK(bench.client.count(Op::kEnd) == 1);
    CHECK(bench.client.count(Op::kInvalidateRange) == 1);
    CHECK(bench.client.count(Op::kClearFlushYoung) == 0);
    REQUIRE(bench.client.calls().size() == 3);
    CHECK(bench.client.calls()[1].op == Op::kInvalidateRange);
    CHECK(bench.client.calls()[1].range == VirtRange{kFirst, kSecond});
    CHECK(bench.client.calls()[0].at < bench.client.calls()[2].at);
}
