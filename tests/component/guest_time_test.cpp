// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <random>

#include "tests/support/child_run.hpp"
#include "tests/support/exact_runs.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_guest.hpp"

namespace mmusim::test {

using models::CoreModule;
using models::GuestAccess;
using rmap::Access;
using rmap::Duration;
using rmap::EptEntry;
using rmap::FrameNumber;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;
using rmap::picoseconds;
using rmap::Pte;
using rmap::TlbOperation;
using rmap::VirtAddr;
using rmap::Word;

namespace {

using Outcome = GuestAccess::Outcome;
constexpr VirtAddr kPage{0x100000000000};
constexpr VirtAddr kNext = kPage + rmap::kPageSize;
const Duration kAccess = nanoseconds(1);
const Duration kEntry = nanoseconds(400);
const Duration kExit = nanoseconds(600);
const Duration kSent = nanoseconds(8000);  ///< when the interrupts of these tests are sent
constexpr rmap::PhysAddr kWord{0x8000};

/// When an interrupt sent at kSent arrives at the core that the fabric reaches in this slot.
Instant arrival(const platform::PlatformConfig& config, unsigned slot) {
    const auto& interrupt = config.interrupt;
    return Instant{} + kSent + interrupt.write + interrupt.to_fabric + interrupt.slot * slot +
           interrupt.delivery;
}

void wait_until(CoreModule& core, Instant until) {
    core.time().spend(until - core.time().local_now(), Part::kUser);
}

/// So that a walk whose lines are all in the L1 makes its last read at `instant`.
void wait_for_last_read_at(CoreModule& core, const platform::PlatformConfig& config,
                           Instant instant) {
    const auto read = config.mmu.walker.level + config.memory.latency.l1;
    const auto before = config.mmu.tlbs[0].lookup + config.mmu.tlbs[1].lookup +
                        config.mmu.walker.start + read * 23 + config.mmu.walker.level;
    wait_until(core, Instant{instant.ps - before.ps});
}

Outcome read(CoreModule& core, VirtAddr page) {
    return core.access_guest(page, Access::kRead, kAccess).outcome;
}

void send_all(TestMachine& machine, CoreModule& core, unsigned last) {
    rmap::CpuMask targets;
    for (rmap::CpuId cpu = 1; cpu <= last; ++cpu) targets.set(cpu);
    machine->mechanism(core.id()).send_ipi(targets, 251, Part::kIpiSend);
}

struct Records final : models::AccessObserver {
    std::vector<models::AccessRecord> seen;
    void judge(rmap::ActorId, const models::AccessBatch& uses) override {
        uses.for_each([this](const auto& use) { seen.push_back(use); });
    }
};

void map_two_pages(TestGuest& guest) {
    guest.back_all(TestGuest::kSmall);
    guest.map(kPage, TestGuest::kData);
    guest.map(kNext, TestGuest::kData + 1);
}

}  // namespace

TEST_CASE("guest time: an interrupt comes before the first instruction not begun when it arrives",
          "[component][guest][time]") {
    const auto config = test_platform(1, 4);
    TestMachine machine(config);
    TestGuest guest(machine, 1);
    map_two_pages(guest);
    Instant taken[4];
    for (rmap::CpuId cpu = 1; cpu <= 3; ++cpu) {
        machine.handler(cpu, [&, cpu](CoreModule& core, const rmap::TakenInterrupt& interrupt) {
            taken[cpu] = core.time().local_now();
            CHECK(interrupt.arrived == arrival(config, cpu - 1));
        });
        machine.program(cpu, [&, cpu](CoreModule& core) {
            // An instruction begins a tick before the arrival, at it, or a tick later.
            const Instant begin{arrival(config, cpu - 1).ps + cpu - 2};
            {
                const rmap::InterruptsOff off(core.time());
                core.vm_entry(guest.context(), kEntry);
                CHECK(read(core, kPage) == Outcome::kDone);
                wait_until(core, begin);
                const auto expected = cpu == 1 ? Outcome::kDone : Outcome::kInterrupt;
                CHECK(read(core, kPage) == expected);
                const Instant after = core.time().local_now();
                const auto hit = config.mmu.tlbs[0].lookup + kAccess;
                CHECK(after - begin == (cpu == 1 ? hit : Duration{}));
                CHECK(read(core, kPage) == Outcome::kInterrupt);
                CHECK(core.time().local_now() == after);
                // Nothing else of the core takes it, either.
                core.load(kWord + 64 * cpu, Part::kGuest);
                core.fetch_add(kWord + 64 * cpu, 1, Part::kGuest);
                core.time().spend(nanoseconds(100), Part::kGuest);
                core.vm_exit(kExit);
                CHECK(core.stats().interrupts == 0);
            }
            CHECK(core.stats().interrupts == 1);
            CHECK(taken[cpu] == core.time().local_now());
        });
    }
    machine.program(0, [&](CoreModule& core) {
        core.time().spend(kSent, Part::kUser);
        send_all(machine, core, 3);
    });
    machine.run();
    CHECK(machine->late().count == 0);
}

TEST_CASE("guest time: an interrupt that arrives within a walk waits for the next instruction",
          "[component][guest][time]") {
    const auto config = test_platform(1, 2);
    TestMachine machine(config);
    TestGuest guest(machine, 1);
    map_two_pages(guest);
    guest.back(TestGuest::kData, TestGuest::kSmall, 0);  // bits to be set: the walk waits as well
    machine.handler(1, [](CoreModule&, const rmap::TakenInterrupt&) {});
    machine.program(0, [&](CoreModule& core) {
        core.time().spend(kSent, Part::kUser);
        send_all(machine, core, 1);
    });
    machine.program(1, [&](CoreModule& core) {
        {
            const rmap::InterruptsOff off(core.time());
            core.vm_entry(guest.context(), kEntry);
            wait_until(core, Instant{arrival(config, 0).ps - 100'000});
            CHECK(read(core, kPage) == Outcome::kDone);
            CHECK(core.time().local_now() > arrival(config, 0));
            CHECK(core.stats().interrupts == 0);
            CHECK(read(core, kPage) == Outcome::kInterrupt);
            core.vm_exit(kExit);
        }
        CHECK(core.stats().interrupts == 1);
    });
    machine.run();
    CHECK(machine.core(1).stats().interrupts == 1);
}

TEST_CASE("guest time: what a walk reads while its entry is cleared falls to the interrupt",
          "[component][guest][time]") {
    Records records;
    const auto config = test_platform(1, 2);
    TestMachine machine(config, &records);
    TestGuest guest(machine, 1);
    map_two_pages(guest);
    const auto entry = guest.second_entry(TestGuest::kData);
    const Instant cleared = Instant{} + nanoseconds(4000);
    machine.program(0, [&](CoreModule& core) {
        wait_until(core, cleared);
        core.exchange(entry, {}, Part::kSecondStage);
        send_all(machine, core, 1);
    });
    machine.handler(1, [&](CoreModule& core, const rmap::TakenInterrupt&) {
        core.maintain({TlbOperation::Kind::kInvept, 0, {}, {}, 1}, nanoseconds(1), Part::kHandler);
    });
    unsigned uses = 0;
    machine.program(1, [&](CoreModule& core) {
        {
            const rmap::InterruptsOff off(core.time());
            core.vm_entry(guest.context(), kEntry);
            read(core, kNext);  // brings in the lines of all levels
            // The leaf is read just before its clearing is visible.
            wait_for_last_read_at(core, config, cleared + nanoseconds(5));
            while (read(core, kPage) == Outcome::kDone) ++uses;
            core.vm_exit(kExit);
        }
        const rmap::InterruptsOff off(core.time());
        core.vm_entry(guest.context(), kEntry);
        const auto gone = core.access_guest(kPage, Access::kRead, kAccess);
        CHECK(gone.outcome == Outcome::kViolation);
        CHECK(gone.violation.address.value == TestGuest::kData * rmap::kPageSize);
        core.vm_exit(kExit);
    });
    machine.run();
    CHECK(uses > 50);
    REQUIRE(records.seen.size() == uses + 1);
    CHECK(records.seen.back().time > records.seen[1].filled + config.interrupt.delivery);
    CHECK(machine.core(1).stats().interrupts == 1);
    CHECK(machine->mmu(1).walker.stats().walks == 3);
}

namespace {

/// What comes of a store by a guest whose walk has read a clean leaf that another core replaces
/// before the dirty bit is set in it.
struct Straddled {
    Outcome outcome{};
    EptEntry found;  ///< the entry afterwards
    models::AccessRecord used;
    std::uint64_t locked = 0;  ///< operations on second-stage entries
};

Straddled store_straddling(const std::function<EptEntry(const TestGuest&)>& replacement) {
    const Instant changed = Instant{} + nanoseconds(4000);
    const auto config = test_platform(1, 2);
    Records records;
    TestMachine machine(config, &records);
    TestGuest guest(machine, 1);
    map_two_pages(guest);
    guest.back(TestGuest::kData, TestGuest::kSmall, EptEntry::kAccessed);
    const auto entry = guest.second_entry(TestGuest::kData);
    Straddled result;
    machine.program(0, [&](CoreModule& core) {
        {
            const rmap::InterruptsOff off(core.time());
            core.vm_entry(guest.context(), kEntry);
            read(core, kNext);
            read(core, kPage);
            // The leaf is read before the other core's store is visible, and its bit set after.
            wait_for_last_read_at(core, config, changed + nanoseconds(5));
            result.outcome = core.access_guest(kPage, Access::kWrite, kAccess).outcome;
            core.vm_exit(kExit);
        }
        result.found = EptEntry(core.load(entry, Part::kSecondStage).value);
    });
    machine.program(1, [&](CoreModule& core) {
        wait_until(core, changed);
        core.exchange(entry, {replacement(guest).raw(), 9}, Part::kSecondStage);
    });
    machine.run();
    result.used = records.seen.back();
    result.locked = machine->mmu(0).walker.stats().second_stage_assists;
    return result;
}

}  // namespace

TEST_CASE("guest time: a dirty bit is not set in a second-stage entry that was cleared meanwhile",
          "[component][guest][time]") {
    const auto result = store_straddling([](const TestGuest&) { return EptEntry{}; });
    CHECK(result.outcome == Outcome::kViolation);
    CHECK(result.found == EptEntry{});
    CHECK(result.locked == 1);
}

TEST_CASE("guest time: a second-stage entry that changed meanwhile is used as it is now",
          "[component][guest][time]") {
    FrameNumber frame;
    const auto result = store_straddling([&](const TestGuest& guest) {
        frame = guest.host_frame(TestGuest::kData + 7);
        return guest.leaf(TestGuest::kData + 7, 0);
    });
    CHECK(result.outcome == Outcome::kDone);
    CHECK(result.found == EptEntry::leaf(frame, true).with(TestGuest::kUsed));
    CHECK(result.used.frame == frame);
    CHECK(result.used.generation == 9);
    CHECK(result.locked == 2);
}

TEST_CASE("guest time: an interrupt that a guest has run past is counted as late",
          "[component][guest][time]") {
    const auto config = test_platform(1, 2);
    const auto run = [&](std::optional<Duration> quantum) {
        return run_in_child([&] {
            TestMachine machine(config, nullptr, quantum);
            TestGuest guest(machine, 1);
            map_two_pages(guest);
            machine.handler(1, [](CoreModule&, const rmap::TakenInterrupt&) {});
            machine.program(1, [&](CoreModule& core) {
                const rmap::InterruptsOff off(core.time());
                core.vm_entry(guest.context(), kEntry);
                while (read(core, kPage) == Outcome::kDone) continue;
                core.vm_exit(kExit);
            });
            machine.program(0, [&](CoreModule& core) {
                core.time().spend(kSent, Part::kUser);
                send_all(machine, core, 1);
            });
            machine.run();
            return std::to_string(machine.core(1).time().late().count);
        });
    };
    CHECK(run(std::nullopt) == "0");
    CHECK(run(config.interrupt.delivery) == "0");
    CHECK(run(config.interrupt.delivery * 4) == "1");
}

// ---- the same bytes whatever the host does ----

namespace {

constexpr unsigned kPages = 12;

/// What every core sees and when, in an order that the host cannot change.
class Digest final : public models::AccessObserver {
public:
    void add(rmap::ActorId actor, std::uint64_t value) { mix(seen_[actor], value); }
    void judge(rmap::ActorId agent, const models::AccessBatch& uses) override {
        uses.for_each([&](const models::AccessRecord& use) {
            for (const std::uint64_t value :
                 {use.time.ps, use.filled.ps, use.frame.value, std::uint64_t{use.vm}})
                mix(used_[agent], value);
        });
    }
    std::string text() const {
        std::string result;
        for (const auto* hashes : {&seen_, &used_})
            for (const auto h : *hashes) result += std::to_string(h) + " ";
        return result;
    }

private:
    static void mix(std::uint64_t& h, std::uint64_t value) {
        h = (h ^ value) * 1099511628211ull;
        h ^= h >> 29;
    }
    std::array<std::uint64_t, 3> seen_{};
    std::array<std::uint64_t, 3> used_{};
};

struct Run {
    std::uint64_t seed;
    std::optional<Duration> quantum;
    std::vector<rmap::CpuId> creation_order;
};

/// Latencies in whole nanoseconds down to very short ones, so that ties abound.
platform::PlatformConfig random_platform(std::mt19937_64& draw) {
    const auto ns = [&](unsigned low, unsigned high) {
        return nanoseconds(low + draw() % (high - low + 1));
    };
    auto config = test_platform(1, 3);
    auto& memory = config.memory.latency;
    memory.same_socket = nanoseconds(2 * (2 + draw() % 20));
    memory.dram = memory.same_socket + ns(0, 40);
    memory.locked = ns(1, 6);
    memory.service = ns(1, 8);
    config.interrupt.delivery = ns(5, 200);
    config.interrupt.to_fabric = ns(1, 30);
    return config;
}

GuestFrame random_frame(std::uint64_t r) {
    return r % 5 == 0 ? TestGuest::kTables + (r >> 8) % 4 : TestGuest::kData + (r >> 8) % kPages;
}

/// A virtual CPU: accesses until the guest leaves; the host repairs what was violated.
void run_virtual_cpu(CoreModule& core, const TestGuest& guest, std::uint64_t seed, Digest& digest) {
    std::mt19937_64 random(seed);
    for (int entry = 0; entry < 60; ++entry) {
        GuestAccess result;
        {
            const rmap::InterruptsOff off(core.time());
            core.vm_entry(guest.context(1 + random() % 2), nanoseconds(random() % 20));
            for (int step = 0; step < 40 && result.outcome == Outcome::kDone; ++step) {
                const auto r = random();
                result = core.access_guest(kPage + r % kPages * rmap::kPageSize,
                                           r >> 32 & 1 ? Access::kWrite : Access::kRead, kAccess);
                if (r >> 40 & 1) digest.add(core.id(), core.load(kWord, Part::kGuest).value);
            }
            core.vm_exit(nanoseconds(random() % 30));
            digest.add(core.id(),
                       core.time().local_now().ps * 4 + static_cast<std::uint64_t>(result.outcome));
        }
        if (result.outcome != Outcome::kViolation) continue;
        digest.add(core.id(), result.violation.address.value);
        const GuestFrame frame = result.violation.address.value >> 12;
        core.store(guest.second_entry(frame), {guest.leaf(frame, 0).raw(), 0}, Part::kSecondStage);
    }
}

/// Two virtual CPUs, and a third core that zaps and write-protects entries of the second stage.
std::string run_random(const Run& run) {
    std::mt19937_64 draw(run.seed);
    const auto config = random_platform(draw);
    Digest digest;
    TestMachine machine(config, &digest, run.quantum, run.creation_order);
    TestGuest one(machine, 1);
    TestGuest two(machine, 2);
    for (auto* guest : {&one, &two}) {
        guest->back_all(TestGuest::kSmall);
        for (unsigned i = 0; i < kPages; ++i) {
            guest->back(TestGuest::kData + i, TestGuest::kSmall, 0);
            guest->map(kPage + i * rmap::kPageSize, TestGuest::kData + i, Pte::kWritable);
        }
    }
    // Of the same guest, or of two.
    const TestGuest* guests[] = {&one, draw() % 2 ? &one : &two};
    const std::uint64_t programs = draw();
    for (rmap::CpuId cpu = 0; cpu < 2; ++cpu) {
        machine.handler(cpu, [&, cpu](CoreModule& core, const rmap::TakenInterrupt& interrupt) {
            digest.add(cpu, core.time().local_now().ps * 3 + interrupt.arrived.ps);
            core.maintain({TlbOperation::Kind::kInvept, 0, {}, {}, guests[cpu]->vm()},
                          nanoseconds(3), Part::kHandler);
            core.fetch_add(kWord, 1, Part::kHandler);
        });
        machine.program(cpu, [&, cpu](CoreModule& core) {
            run_virtual_cpu(core, *guests[cpu], programs + cpu, digest);
        });
    }
    machine.program(2, [&](CoreModule& core) {
        std::mt19937_64 random(programs + 2);
        for (int step = 0; step < 100; ++step) {
            const auto r = random();
            const auto& guest = *guests[r & 1];
            const auto zap = [&](Word old, Instant) {
                const EptEntry entry(old.value);
                return Word{r & 2 ? 0 : entry.without(EptEntry::kWrite).raw(), old.generation};
            };
            const auto at = guest.second_entry(random_frame(r >> 4));
            digest.add(2, core.read_modify_write(at, zap, Part::kSecondStage).value);
            rmap::CpuMask targets;
            targets.set(0);
            targets.set(1);
            machine->mechanism(2).send_ipi(targets, 251, Part::kKick);
            core.time().spend(nanoseconds(r >> 32 & 1023), Part::kUser);
            digest.add(2, core.load(kWord, Part::kUser).value + core.time().local_now().ps);
        }
    });
    machine.run();
    return digest.text() + "late " + std::to_string(machine->late().count);
}

std::string run_child(const Run& run) {
    return run_in_child([&] { return run_random(run); });
}

Duration automatic(std::uint64_t seed) {
    std::mt19937_64 draw(seed);
    return platform::lookahead_of(random_platform(draw)).automatic();
}

}  // namespace

TEST_CASE("guest time: random guests see the same at every exact quantum and creation order",
          "[component][guest][time]") {
    for (std::uint64_t seed = 1; seed <= test_size(100, 3); ++seed) {
        CAPTURE(seed);
        const auto exact = run_child({seed, std::nullopt, {}});
        CHECK(is_exact(exact));
        for (const auto quantum :
             {picoseconds(1), nanoseconds(1), picoseconds(1777), Duration{automatic(seed).ps / 3}})
            CHECK(run_child({seed, quantum, {}}) == exact);
        CHECK(run_child({seed, std::nullopt, {2, 1, 0}}) == exact);
        CHECK(run_child({seed, nanoseconds(1), {1, 2, 0}}) == exact);
    }
}

TEST_CASE("guest time: no late effect means the same bytes also beyond the exact quantum",
          "[component][guest][time]") {
    const auto coarse = compare_coarse(
        20,
        [](std::uint64_t seed) {
            return run_random({seed, nanoseconds(1), {}});
        },
        [](std::uint64_t seed) {
            const auto exact = automatic(seed);
            return run_random({seed, seed % 2 ? exact + Duration{exact.ps / 16} : exact * 4, {}});
        });
    CHECK(coarse.late > 0);
    CHECK(coarse.on_time > 0);
    CHECK(coarse.different > 0);
}

}  // namespace mmusim::test
