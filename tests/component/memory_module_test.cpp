// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/support/print_types.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

using rmap::Duration;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;
using rmap::PhysAddr;
using rmap::Word;

namespace {

constexpr PhysAddr kWord{0x10000};
constexpr PhysAddr kSameLine{0x10008};

Duration timed(models::CoreModule& core, const std::function<void()>& action) {
    const Instant begin = core.time().local_now();
    action();
    return core.time().local_now() - begin;
}

std::uint64_t load(models::CoreModule& core, PhysAddr address = kWord) {
    return core.load(address, Part::kPteAccess).value;
}

void store(models::CoreModule& core, std::uint64_t value, PhysAddr address = kWord) {
    core.store(address, {value, 0}, Part::kPteAccess);
}

void pass(models::CoreModule& core, Duration time) { core.time().spend(time, Part::kUser); }

}  // namespace

TEST_CASE("memory: a line is read from DRAM once and from the own L1 afterwards",
          "[component][memory]") {
    const auto config = test_platform(2, 2);
    const auto& latency = config.memory.latency;
    TestMachine machine(config);
    machine.poke(kWord, 7);
    machine.program(0, [&](models::CoreModule& core) {
        CHECK(timed(core, [&] { CHECK(load(core) == 7); }) == latency.dram);
        CHECK(timed(core, [&] { CHECK(load(core, kSameLine) == 0); }) == latency.l1);
    });
    machine.program(3, [&](models::CoreModule& core) {
        CHECK(timed(core, [&] { load(core); }) == latency.dram + latency.hop);
    });
    machine.run();
}

TEST_CASE("memory: a store is visible to others exactly C after it was serialised",
          "[component][memory]") {
    const auto config = test_platform(1, 4);
    const Duration c = config.memory.visibility();
    TestMachine machine(config);
    Instant serialised;
    machine.program(0, [&](models::CoreModule& core) {
        store(core, 1);
        pass(core, nanoseconds(1000) - (core.time().local_now() - Instant{}));
        serialised = core.time().local_now();  // the owner acts at its own local time
        store(core, 2);
        CHECK(load(core) == 2);
    });
    const auto reader = [&](Duration at, std::uint64_t expected) {
        return [&, at, expected](models::CoreModule& core) {
            pass(core, at);
            CHECK(load(core) == expected);
        };
    };
    const Duration visible = nanoseconds(1000) + c;
    machine.program(1, reader(visible - rmap::picoseconds(1), 1));
    machine.program(2, reader(visible, 2));
    machine.program(3, reader(visible + rmap::picoseconds(1), 2));
    machine.run();
    CHECK(serialised == Instant{} + nanoseconds(1000));
}

TEST_CASE("memory: the owner of a line pays one locked instruction and another core a transfer",
          "[component][memory]") {
    const auto config = test_platform(2, 1);
    const auto& latency = config.memory.latency;
    TestMachine machine(config);
    machine.program(0, [&](models::CoreModule& core) {
        CHECK(timed(core, [&] { store(core, 1); }) == latency.dram);
        CHECK(timed(core, [&] { store(core, 2); }) == latency.locked);
        pass(core, nanoseconds(5000));
        CHECK(timed(core, [&] { CHECK(load(core) == 3); }) == latency.same_socket + latency.hop);
    });
    machine.program(1, [&](models::CoreModule& core) {
        pass(core, nanoseconds(1000));
        CHECK(timed(core, [&] { store(core, 3); }) == latency.same_socket + latency.hop);
    });
    machine.run();
}

TEST_CASE("memory: a store by the owner pays for the copies that others have read",
          "[component][memory]") {
    const auto config = test_platform(1, 2);
    const auto& latency = config.memory.latency;
    TestMachine machine(config);
    machine.program(0, [&](models::CoreModule& core) {
        store(core, 1);
        pass(core, nanoseconds(2000));
        CHECK(timed(core, [&] { store(core, 2); }) == latency.same_socket);
        CHECK(timed(core, [&] { store(core, 3); }) == latency.locked);
    });
    machine.program(1, [&](models::CoreModule& core) {
        pass(core, nanoseconds(1000));
        load(core);
    });
    machine.run();
}

TEST_CASE("memory: locked instructions of all cores on one line have one order",
          "[component][memory]") {
    const auto config = test_platform(2, 4);
    TestMachine machine(config);
    std::vector<std::uint64_t> seen;
    for (rmap::CpuId cpu = 0; cpu < 8; ++cpu)
        machine.program(cpu, [&](models::CoreModule& core) {
            for (int i = 0; i < 50; ++i)
                seen.push_back(core.read_modify_write(
                                       kWord,
                                       [](Word old, Instant) {
                                           return Word{old.value + 1, 0};
                                       },
                                       Part::kPteAccess)
                                   .value);
        });
    machine.run();
    std::sort(seen.begin(), seen.end());
    REQUIRE(seen.size() == 400);
    for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == i);
}

TEST_CASE("memory: two requests that arrive in one tick are served by core number",
          "[component][memory]") {
    const auto config = test_platform(1, 4);
    TestMachine machine(config);
    std::vector<rmap::CpuId> order;
    std::vector<Instant> when;
    for (const rmap::CpuId cpu : {3u, 1u, 2u})
        machine.program(cpu, [&, cpu](models::CoreModule& core) {
            pass(core, nanoseconds(100));
            core.read_modify_write(
                kWord,
                [&](Word old, Instant at) {
                    order.push_back(cpu);
                    when.push_back(at);
                    return old;
                },
                Part::kPteAccess);
        });
    machine.run();
    CHECK(order == std::vector<rmap::CpuId>{1, 2, 3});
    const Instant first = Instant{} + nanoseconds(100) + config.memory.visibility();
    const auto service = config.memory.latency.service;
    CHECK(when == std::vector<Instant>{first, first + service, first + service * 2});
}

TEST_CASE("memory: a request that arrives in the tick of the owner's act comes first",
          "[component][memory]") {
    const auto config = test_platform(1, 3);
    const Duration c = config.memory.visibility();
    TestMachine machine(config);
    std::vector<rmap::CpuId> order;
    const auto note = [&](models::CoreModule& core) {
        core.read_modify_write(
            kWord,
            [&](Word old, Instant) {
                order.push_back(core.id());
                return old;
            },
            Part::kPteAccess);
    };
    machine.program(0, [&](models::CoreModule& core) {
        store(core, 1);
        pass(core, nanoseconds(1000) - (core.time().local_now() - Instant{}));
        note(core);
    });
    machine.program(1, [&](models::CoreModule& core) {
        pass(core, nanoseconds(1000) - c);
        note(core);
    });
    machine.run();
    CHECK(order == std::vector<rmap::CpuId>{1, 0});
}

TEST_CASE("memory: a read that an owner should have known of is late beyond the exact quantum",
          "[component][memory]") {
    const auto config = test_platform(1, 2);
    TestMachine machine(config, nullptr, nanoseconds(1000));
    machine.program(0, [&](models::CoreModule& core) {
        store(core, 1);
        pass(core, nanoseconds(1500) - (core.time().local_now() - Instant{}));
        pass(core, nanoseconds(800));  // runs ahead of kernel time
        store(core, 2);
    });
    machine.program(1, [&](models::CoreModule& core) {
        pass(core, nanoseconds(1600));
        pass(core, nanoseconds(500));
        load(core);
    });
    machine.run();
    CHECK(machine->late().count > 0);
}

TEST_CASE("memory: an address beyond the last node is an error of the socket",
          "[component][memory]") {
    TestMachine machine(test_platform(1, 1));
    bool refused = false;
    machine.program(0, [&](models::CoreModule& core) {
        try {
            load(core, PhysAddr{1ull << 40});
        } catch (const sc_core::sc_report& report) {
            refused = std::string(report.get_msg()).find("outside of memory") != std::string::npos;
        }
    });
    machine.run();
    CHECK(refused);
}

}  // namespace mmusim::test
