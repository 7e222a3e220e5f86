// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>

#include "rmap/sync/lock.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

using rmap::CpuId;
using rmap::Duration;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;

namespace {

constexpr rmap::PhysAddr kLockWord{0x20000};
constexpr rmap::PhysAddr kData{0x30000};

struct NoTrace final : rmap::TracePort {
    void emit(rmap::OperationId, rmap::Event, const rmap::EventArguments&) override {}
};

/// The CPUs of a machine as kernel code sees them.
class Cpus {
public:
    Cpus(TestMachine& machine, const platform::PlatformConfig& config) : costs_(config.costs) {
        for (CpuId id = 0; id < machine->cores(); ++id) {
            auto& core = machine.core(id);
            auto& mechanism = machine->mechanism(id);
            cpus_.push_back(std::make_unique<rmap::Cpu>(
                id,
                rmap::Cpu::Ports{core.time(), core, mechanism, mechanism, trace_, core.account()},
                costs_));
        }
    }
    rmap::Cpu& operator[](CpuId id) { return *cpus_[id]; }

private:
    NoTrace trace_;
    const rmap::KernelCosts costs_;
    std::vector<std::unique_ptr<rmap::Cpu>> cpus_;
};

platform::PlatformConfig config_for(unsigned cores) {
    auto config = test_platform(1, cores);
    config.costs.lock_handover = config.memory.visibility() + nanoseconds(5);
    return config;
}

}  // namespace

TEST_CASE("lock: a queue is served in the order of arrival and by CPU number in one tick",
          "[component][lock]") {
    const auto config = config_for(5);
    TestMachine machine(config);
    Cpus cpus(machine, config);
    rmap::Lock lock(kLockWord);
    std::vector<CpuId> order;
    const auto take_at = [&](Duration when) {
        return [&, when](models::CoreModule& core) {
            auto& cpu = cpus[core.id()];
            cpu.spend(when, Part::kUser);
            lock.lock(cpu);
            order.push_back(core.id());
            cpu.spend(nanoseconds(1000), Part::kUser);
            lock.unlock(cpu);
        };
    };
    machine.program(0, take_at({}));
    machine.program(1, take_at(nanoseconds(300)));
    machine.program(2, take_at(nanoseconds(200)));
    machine.program(3, take_at(nanoseconds(200)));
    machine.program(4, take_at(nanoseconds(199)));
    machine.run();
    CHECK(order == std::vector<CpuId>{0, 4, 2, 3, 1});
}

TEST_CASE("lock: the next owner goes on a hand-over after the release and sees what was written",
          "[component][lock]") {
    const auto config = config_for(2);
    TestMachine machine(config);
    Cpus cpus(machine, config);
    rmap::Lock lock(kLockWord);
    Instant released;
    Instant granted;
    machine.program(0, [&](models::CoreModule& core) {
        auto& cpu = cpus[0];
        lock.lock(cpu);
        cpu.spend(nanoseconds(2000), Part::kUser);
        core.store(kData, {42, 0}, Part::kUser);
        // The waiter has taken the line: the release is serialised when it is back here.
        lock.unlock(cpu);
        released = cpu.now();
    });
    machine.program(1, [&](models::CoreModule& core) {
        auto& cpu = cpus[1];
        cpu.spend(nanoseconds(500), Part::kUser);
        lock.lock(cpu);
        granted = cpu.now();
        CHECK(core.load(kData, Part::kUser).value == 42);
        lock.unlock(cpu);
    });
    machine.run();
    // The release is back at its CPU a transfer after it was requested: C to the home, and the
    // rest of the transfer back.
    const Duration way_back = config.memory.latency.same_socket - config.memory.visibility();
    CHECK(granted + way_back == released + config.costs.lock_handover);
}

TEST_CASE("lock: waiting is charged to the wait and the hand-over and sums are exact",
          "[component][lock]") {
    const auto config = config_for(2);
    TestMachine machine(config);
    Cpus cpus(machine, config);
    rmap::Lock lock(kLockWord);
    machine.program(0, [&](models::CoreModule&) {
        auto& cpu = cpus[0];
        lock.lock(cpu);
        cpu.spend(nanoseconds(2000), Part::kUser);
        lock.unlock(cpu);
    });
    machine.program(1, [&](models::CoreModule& core) {
        auto& cpu = cpus[1];
        cpu.spend(nanoseconds(500), Part::kUser);
        const auto op = core.account().begin(rmap::OperationKind::kReclaim, cpu.now());
        lock.lock(cpu);
        core.account().end(op, cpu.now(), rmap::Outcome::kDone);
        lock.unlock(cpu);
    });
    machine.run();
    REQUIRE(machine.core(1).account().finished().size() == 1);
    const auto& result = machine.core(1).account().finished().front();
    CHECK(result.parts.sum() == result.end - result.begin);
    CHECK(result.parts[Part::kLockHandover] == config.costs.lock_handover);
    CHECK(result.parts[Part::kLockWait] > nanoseconds(1000));
    CHECK(result.parts[Part::kUser] == Duration{});
}

TEST_CASE("lock: readers share and a waiting writer keeps later readers out", "[component][lock]") {
    const auto config = config_for(4);
    TestMachine machine(config);
    Cpus cpus(machine, config);
    rmap::RwLock lock(kLockWord);
    struct Held {
        CpuId cpu;
        Instant from, to;
    };
    std::vector<Held> held;
    const auto hold = [&](Duration when, bool write) {
        return [&, when, write](models::CoreModule& core) {
            auto& cpu = cpus[core.id()];
            cpu.spend(when, Part::kUser);
            write ? lock.lock_write(cpu) : lock.lock_read(cpu);
            const Instant from = cpu.now();
            cpu.spend(nanoseconds(1000), Part::kUser);
            held.push_back({core.id(), from, cpu.now()});
            write ? lock.unlock_write(cpu) : lock.unlock_read(cpu);
        };
    };
    machine.program(0, hold({}, false));
    machine.program(1, hold(nanoseconds(100), false));
    machine.program(2, hold(nanoseconds(300), true));
    machine.program(3, hold(nanoseconds(500), false));
    machine.run();
    std::sort(held.begin(), held.end(), [](const Held& a, const Held& b) { return a.cpu < b.cpu; });
    REQUIRE(held.size() == 4);
    CHECK(held[1].from < held[0].to);   // two readers at once
    CHECK(held[2].from >= held[0].to);  // the writer alone
    CHECK(held[2].from >= held[1].to);
    CHECK(held[3].from >= held[2].to);  // the late reader after the writer
}

TEST_CASE("lock: a grant and an interrupt in one tick leave the lock first", "[component][lock]") {
    const auto config = config_for(3);
    TestMachine machine(config);
    Cpus cpus(machine, config);
    std::unique_ptr<rmap::Completion> result;
    const Instant arrival =
        Instant{} + config.interrupt.write + config.interrupt.to_fabric + config.interrupt.delivery;
    bool granted = false;
    bool granted_at_interrupt = false;
    machine.handler(1, [&](models::CoreModule& core, const rmap::TakenInterrupt& i) {
        CHECK(i.arrived == arrival);
        CHECK(core.time().local_now() == arrival);
        granted_at_interrupt = granted;
    });
    machine.program(1, [&](models::CoreModule& core) {
        result = std::make_unique<rmap::Completion>(core.time());
        core.time().await(*result, Part::kLockWait);
        CHECK(core.time().local_now() == arrival);
        granted = true;
        core.time().spend(nanoseconds(1), Part::kUser);
    });
    machine.program(0, [&](models::CoreModule& core) {
        rmap::CpuMask target;
        target.set(1);
        machine->mechanism(core.id()).send_ipi(target, 251, Part::kIpiSend);
    });
    machine.program(2, [&](models::CoreModule&) { result->complete(arrival); });
    machine.run();
    CHECK(granted_at_interrupt);
}

}  // namespace mmusim::test
