// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <random>

#include "rmap/types/pte.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/exact_runs.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

using rmap::Access;
using rmap::Duration;
using rmap::nanoseconds;
using rmap::Part;
using rmap::Pte;

namespace {

/// Collects what every core sees and when, in an order that the host cannot change.
class Digest {
public:
    explicit Digest(std::size_t cores) : cores_(cores, 1469598103934665603ull) {}
    void add(rmap::CpuId core, std::uint64_t value) {
        auto& h = cores_[core];
        h = (h ^ value) * 1099511628211ull;
        h ^= h >> 29;
    }
    std::string text() const {
        std::string result;
        for (const auto h : cores_) result += std::to_string(h) + " ";
        return result;
    }

private:
    std::vector<std::uint64_t> cores_;
};

constexpr rmap::VirtAddr kBase{0x400000};
constexpr unsigned kPages = 16;
constexpr rmap::PhysAddr kWords{0x8000};

/// A machine and programs drawn from `seed`: latencies in whole nanoseconds down to very short
/// ones, so that effects of different cores often fall into one tick.
std::string run_random(std::uint64_t seed, std::optional<Duration> quantum) {
    std::mt19937_64 draw(seed);
    const auto ns = [&](unsigned low, unsigned high) {
        return nanoseconds(low + draw() % (high - low + 1));
    };
    auto config = test_platform(1 + draw() % 2, 1 + draw() % 4);
    auto& memory = config.memory.latency;
    memory.same_socket = nanoseconds(2 * (2 + draw() % 20));
    memory.hop = ns(0, 20);
    memory.dram = memory.same_socket + ns(0, 40);
    memory.locked = ns(1, 6);
    memory.service = ns(1, 8);
    config.interrupt.delivery = ns(5, 200);
    config.interrupt.to_fabric = ns(1, 30);
    config.interrupt.slot = ns(1, 10);
    const std::uint64_t programs = draw();

    TestMachine machine(config, nullptr, quantum);
    Digest digest(config.topology.cores());
    for (unsigned i = 0; i < kPages; ++i)
        machine.map(kBase + i * rmap::kPageSize, rmap::FrameNumber{500 + i}, Pte::kWritable);
    const unsigned cores = config.topology.cores();
    for (rmap::CpuId cpu = 0; cpu < cores; ++cpu) {
        machine.handler(cpu, [&](models::CoreModule& core, const rmap::TakenInterrupt& i) {
            digest.add(core.id(), core.time().local_now().ps * 3 + i.arrived.ps);
            digest.add(core.id(), core.load(kWords, Part::kHandler).value);
            core.fetch_add(kWords, 1, Part::kHandler);
        });
        machine.program(cpu, [&, cpu](models::CoreModule& core) {
            std::mt19937_64 random(programs + cpu);
            core.maintain({rmap::TlbOperation::Kind::kCr3Write, 1, {}, machine.root()}, {},
                          Part::kSwitch);
            for (int step = 0; step < 300; ++step) {
                const auto r = random();
                const auto page = kBase + (r >> 8) % kPages * rmap::kPageSize;
                const rmap::PhysAddr word = kWords + 8 * ((r >> 16) % 24);
                std::uint64_t seen = 0;
                switch (r % 8) {
                    case 0:
                        seen = core.fetch_add(word, 1, Part::kUser);
                        break;
                    case 1:
                        seen = core.load(word, Part::kUser).value;
                        break;
                    case 2:
                        core.time().spend(nanoseconds((r >> 32) % 60), Part::kUser);
                        break;
                    case 3: {
                        rmap::CpuMask targets;
                        for (rmap::CpuId t = 0; t < cores; ++t)
                            if (t != cpu && (r >> (40 + t) & 1)) targets.set(t);
                        machine->mechanism(cpu).send_ipi(targets, 251, Part::kIpiSend);
                        break;
                    }
                    case 4: {
                        const rmap::InterruptsOff off(core.time());
                        core.time().spend(nanoseconds((r >> 32) % 40), Part::kUser);
                        seen = core.fetch_add(word, 3, Part::kUser);
                        break;
                    }
                    case 5: {  // clear a mapping and put it back
                        const auto entry = machine.entry_of(page);
                        const auto old = core.exchange(entry, {}, Part::kPteAccess);
                        core.maintain({rmap::TlbOperation::Kind::kInvlpg, 1, page, {}},
                                      nanoseconds(20), Part::kFlushLocal);
                        if (old.value)
                            core.store(entry, {old.value & ~(Pte::kDirty | Pte::kAccessed), 0},
                                       Part::kPteAccess);
                        seen = old.value;
                        break;
                    }
                    default:
                        for (unsigned i = 0; i < 20; ++i)
                            seen += static_cast<unsigned>(
                                core.access(kBase + ((r >> i) % kPages) * rmap::kPageSize,
                                            (r >> i) % 5 == 0 ? Access::kWrite : Access::kRead,
                                            nanoseconds(1)));
                }
                digest.add(cpu, core.time().local_now().ps ^ seen << 20);
            }
        });
    }
    machine.run();
    return digest.text() + "late " + std::to_string(machine->late().count);
}

}  // namespace

TEST_CASE("time: random programs see the same at every exact quantum", "[component][time]") {
    for (std::uint64_t seed = 1; seed <= test_size(60, 5); ++seed) {
        CAPTURE(seed);
        const auto automatic = run_in_child([&] { return run_random(seed, std::nullopt); });
        CHECK(is_exact(automatic));
        CHECK(run_in_child([&] { return run_random(seed, nanoseconds(1)); }) == automatic);
        CHECK(run_in_child([&] { return run_random(seed, rmap::picoseconds(1)); }) == automatic);
        CHECK(run_in_child([&] { return run_random(seed, rmap::picoseconds(1777)); }) == automatic);
    }
}

TEST_CASE("time: no late effect means the same bytes also beyond the exact quantum",
          "[component][time]") {
    const auto coarse = compare_coarse(
        30, [](std::uint64_t seed) { return run_random(seed, nanoseconds(1)); },
        [](std::uint64_t seed) { return run_random(seed, nanoseconds(300)); });
    CHECK(coarse.late > 0);
    CHECK(coarse.on_time > 0);
    CHECK(coarse.different > 0);
}

}  // namespace mmusim::test
