// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "rmap/ports/cpu.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

/// Before the run no time passes and nobody else acts.
class SetupTime final : public rmap::TimePort {
public:
    explicit SetupTime(rmap::ActorId actor) : actor_(actor) {}

    rmap::ActorId actor() const override { return actor_; }
    rmap::Instant local_now() const override { return {}; }
    void spend(rmap::Duration, rmap::Part) override {}
    void observe(rmap::Observed) override {}
    void sync_before_visible_action() override {}
    rmap::Interrupts set_interrupts(rmap::Interrupts state) override {
        return std::exchange(interrupts_, state);
    }
    void await(rmap::Completion& result, rmap::Part) override {
        MMUSIM_CHECK(result.known(), "nobody can be waited for during set-up");
    }
    void notify_completion() override {}
    rmap::Duration visibility() const override { return {}; }

private:
    const rmap::ActorId actor_;
    rmap::Interrupts interrupts_ = rmap::Interrupts::kOn;
};

/// Keeps the address space that the core is to begin with.
class SetupTlb final : public rmap::TlbPort {
public:
    void execute(const rmap::TlbOperation& operation, rmap::Part) override {
        if (operation.kind == rmap::TlbOperation::Kind::kCr3Write ||
            operation.kind == rmap::TlbOperation::Kind::kCr3WriteNoFlush)
            cr3_ = operation;
    }
    const rmap::TlbOperation& cr3() const { return cr3_; }

private:
    rmap::TlbOperation cr3_{rmap::TlbOperation::Kind::kCr3Write, 0, {}, {}, 0};
};

class SetupInterrupts final : public rmap::InterruptPort {
public:
    void send_ipi(const rmap::CpuMask&, rmap::Vector, rmap::Part) override {
        MMUSIM_CHECK(false, "no CPU can be interrupted during set-up");
    }
};

class SetupTrace final : public rmap::TracePort {
public:
    void emit(rmap::OperationId, rmap::Event, const rmap::EventArguments&) override {}
};

/// A CPU as kernel code sees it while the machine is set up: the same code as in the run, no time.
class SetupCpu {
public:
    SetupCpu(rmap::CpuId id, rmap::PhysMemPort& memory, const rmap::KernelCosts& costs)
        : time_(id),
          account_(id),
          cpu_(id, {time_, memory, tlb_, interrupts_, trace_, account_}, costs) {}
    SetupCpu(const SetupCpu&) = delete;
    SetupCpu& operator=(const SetupCpu&) = delete;

    rmap::Cpu& operator*() { return cpu_; }
    rmap::Cpu* operator->() { return &cpu_; }
    const rmap::TlbOperation& cr3() const { return tlb_.cr3(); }

private:
    SetupTime time_;
    SetupTlb tlb_;
    SetupInterrupts interrupts_;
    SetupTrace trace_;
    rmap::Accountant account_;
    rmap::Cpu cpu_;
};

}  // namespace mmusim::platform
