// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "tests/support/print_types.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

using rmap::CpuMask;
using rmap::Duration;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;
using rmap::picoseconds;

namespace {

CpuMask mask(std::initializer_list<rmap::CpuId> cpus) {
    CpuMask result;
    for (const auto cpu : cpus) result.set(cpu);
    return result;
}

/// When an interrupt sent with no cost at time zero arrives at a core of the same socket.
Duration way(const platform::PlatformConfig& config) {
    return config.interrupt.write + config.interrupt.to_fabric + config.interrupt.delivery;
}

struct Taken {
    rmap::CpuId cpu;
    Instant arrived;
    Instant begun;
};

}  // namespace

TEST_CASE("interrupt: arrives after write and way and slot and delivery",
          "[component][interrupt]") {
    const auto config = test_platform(2, 2);
    TestMachine machine(config);
    std::vector<Taken> taken;
    for (rmap::CpuId cpu = 0; cpu < 4; ++cpu)
        machine.handler(cpu, [&](models::CoreModule& core, const rmap::TakenInterrupt& i) {
            taken.push_back({core.id(), i.arrived, core.time().local_now()});
        });
    machine.program(0, [&](models::CoreModule& core) {
        machine->mechanism(core.id()).send_ipi(mask({1, 2}), 251, Part::kIpiSend);
        CHECK(core.time().local_now() == Instant{} + config.interrupt.write);
    });
    machine.run();
    REQUIRE(taken.size() == 2);
    CHECK(taken[0].cpu == 1);
    CHECK(taken[0].arrived == Instant{} + way(config));
    CHECK(taken[1].arrived ==
          Instant{} + way(config) + config.interrupt.slot + config.interrupt.hop);
    CHECK(taken[1].begun == taken[1].arrived);
}

TEST_CASE("interrupt: one command write for each cluster of targets", "[component][interrupt]") {
    const auto config = test_platform(1, 10);
    TestMachine machine(config);
    machine.program(0, [&](models::CoreModule& core) {
        machine->mechanism(core.id()).send_ipi(mask({1, 2, 3, 4, 5, 9}), 252, Part::kIpiSend);
        CHECK(core.time().local_now() == Instant{} + config.interrupt.write * 3);
    });
    machine.run();
    CHECK(machine->fabric().stats().messages == 3);
    CHECK(machine->fabric().stats().deliveries == 6);
}

TEST_CASE("interrupt: cuts a long spend exactly where it arrives", "[component][interrupt]") {
    const auto config = test_platform(1, 4);
    const Duration handler = nanoseconds(77);
    const Duration tick = picoseconds(1);
    // The fabric reaches core n in slot n - 1. A spend begins a tick before the arrival, at the
    // arrival, or ends there.
    const auto arrival = [&](rmap::CpuId cpu) {
        return way(config) + config.interrupt.slot * (cpu - 1);
    };
    const Duration first[] = {{}, arrival(1) - tick, arrival(2), tick};
    const Duration second[] = {{}, nanoseconds(100), nanoseconds(100), arrival(3) - tick};

    TestMachine machine(config);
    unsigned taken = 0;
    for (rmap::CpuId cpu = 1; cpu <= 3; ++cpu) {
        machine.handler(cpu, [&](models::CoreModule& core, const rmap::TakenInterrupt&) {
            ++taken;
            CHECK(core.time().local_now() == Instant{} + arrival(core.id()));
            core.time().spend(handler, Part::kHandler);
        });
        machine.program(cpu, [&, cpu](models::CoreModule& core) {
            core.time().spend(first[cpu], Part::kUser);
            core.time().spend(second[cpu], Part::kUser);
            core.time().spend(tick, Part::kUser);
            CHECK(core.time().local_now() == Instant{} + first[cpu] + second[cpu] + tick + handler);
        });
    }
    machine.program(0, [&](models::CoreModule& core) {
        machine->mechanism(core.id()).send_ipi(mask({1, 2, 3}), 251, Part::kIpiSend);
    });
    machine.run();
    CHECK(taken == 3);
}

TEST_CASE("interrupt: waits for the end of a section with interrupts off",
          "[component][interrupt]") {
    const auto config = test_platform(1, 2);
    const Instant arrival = Instant{} + way(config);
    TestMachine machine(config);
    Instant begun;
    Instant arrived;
    machine.handler(1, [&](models::CoreModule& core, const rmap::TakenInterrupt& i) {
        begun = core.time().local_now();
        arrived = i.arrived;
    });
    Instant end;
    machine.program(1, [&](models::CoreModule& core) {
        const rmap::InterruptsOff off(core.time());
        core.time().spend(way(config) + nanoseconds(5000), Part::kLru);
        end = core.time().local_now();
    });
    machine.program(0, [&](models::CoreModule& core) {
        machine->mechanism(core.id()).send_ipi(mask({1}), 251, Part::kIpiSend);
    });
    machine.run();
    CHECK(arrived == arrival);
    CHECK(end == arrival + nanoseconds(5000));
    CHECK(begun == end);
}

TEST_CASE("interrupt: is not taken inside a locked instruction", "[component][interrupt]") {
    const auto config = test_platform(1, 2);
    const Instant arrival = Instant{} + way(config);
    TestMachine machine(config);
    Instant begun;
    machine.handler(1, [&](models::CoreModule& core, const rmap::TakenInterrupt&) {
        begun = core.time().local_now();
    });
    Instant done;
    machine.program(1, [&](models::CoreModule& core) {
        core.time().spend(way(config) - nanoseconds(3), Part::kUser);
        core.store(rmap::PhysAddr{0x8000}, {1, 0}, Part::kPteAccess);
        done = core.time().local_now();
        core.time().spend(nanoseconds(1), Part::kUser);
    });
    machine.program(0, [&](models::CoreModule& core) {
        machine->mechanism(core.id()).send_ipi(mask({1}), 251, Part::kIpiSend);
    });
    machine.run();
    CHECK(done > arrival);
    CHECK(begun == done);
}

TEST_CASE("interrupt: a waiter serves interrupts and keeps its place", "[component][interrupt]") {
    const auto config = test_platform(1, 3);
    const Duration handler = nanoseconds(50);
    TestMachine machine(config);
    unsigned taken = 0;
    machine.handler(1, [&](models::CoreModule& core, const rmap::TakenInterrupt&) {
        ++taken;
        core.time().spend(handler, Part::kHandler);
    });
    std::unique_ptr<rmap::Completion> result;
    const Instant due = Instant{} + nanoseconds(3000);
    machine.program(1, [&](models::CoreModule& core) {
        result = std::make_unique<rmap::Completion>(core.time());
        core.time().await(*result, Part::kLockWait);
        CHECK(core.time().local_now() == due);
        CHECK(taken == 1);
    });
    machine.program(0, [&](models::CoreModule& core) {
        machine->mechanism(core.id()).send_ipi(mask({1}), 251, Part::kIpiSend);
    });
    machine.program(2, [&](models::CoreModule& core) {
        core.time().spend(nanoseconds(2000), Part::kUser);
        result->complete(due);
    });
    machine.run();
}

TEST_CASE("interrupt: a result due during a handler ends the wait before the next interrupt",
          "[component][interrupt]") {
    const auto config = test_platform(1, 3);
    TestMachine machine(config);
    std::vector<Instant> begun;
    bool waiting = true;
    std::vector<bool> while_waiting;
    machine.handler(1, [&](models::CoreModule& core, const rmap::TakenInterrupt&) {
        begun.push_back(core.time().local_now());
        while_waiting.push_back(waiting);
        core.time().spend(nanoseconds(500), Part::kHandler);
    });
    std::unique_ptr<rmap::Completion> result;
    machine.program(1, [&](models::CoreModule& core) {
        result = std::make_unique<rmap::Completion>(core.time());
        core.time().await(*result, Part::kLockWait);
        waiting = false;
        core.time().spend(nanoseconds(1), Part::kUser);
    });
    machine.program(0, [&](models::CoreModule& core) {
        machine->mechanism(core.id()).send_ipi(mask({1}), 251, Part::kIpiSend);
        core.time().spend(nanoseconds(200), Part::kUser);
        machine->mechanism(core.id()).send_ipi(mask({1}), 251, Part::kIpiSend);
    });
    machine.program(2, [&](models::CoreModule& core) {
        core.time().spend(nanoseconds(100), Part::kUser);
        result->complete(Instant{} + way(config) + nanoseconds(250));  // inside the first handler
    });
    machine.run();
    REQUIRE(begun.size() == 2);
    CHECK(begun[1] == begun[0] + nanoseconds(500));
    CHECK(while_waiting == std::vector<bool>{true, false});
}

}  // namespace mmusim::test
