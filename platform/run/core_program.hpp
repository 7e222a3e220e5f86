// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "models/cpu/core_module.hpp"
#include "platform/run/access_stream.hpp"
#include "platform/run/rendezvous.hpp"
#include "rmap/kernel.hpp"
#include "rmap/smp/call_function.hpp"

namespace mmusim::platform {

/// A thread of a process: accesses its pages, faults where it must, and touches all of them when
/// whoever carries out an operation asks for it.
struct UserThread {
    struct Touch {
        rmap::VirtRange range;
        rmap::Access access;
    };

    rmap::Mm* mm = nullptr;
    AccessStream accesses;
    /// What it touches on the n-th request of an operation, from 1 on: every page once.
    std::function<std::vector<Touch>(unsigned operation, std::uint64_t request)> touched;
    rmap::Duration access_time;
    std::uint64_t limit = 0;  ///< accesses after which it only waits; 0 = none
};

/// What one core runs: a thread, an operation, or nothing; and the kernel below them. Hardware
/// calls it; everything it does takes simulated time.
class CoreProgram final : public models::CoreSoftware {
public:
    /// The ports to the core exist only after the platform was built with this program.
    struct Kernel {
        rmap::Cpu* cpu = nullptr;
        rmap::Kernel* kernel = nullptr;
        rmap::CallFunction* calls = nullptr;
        Rendezvous* rendezvous = nullptr;
        rmap::TlbOperation cr3;  ///< address space that set-up has left loaded
        rmap::Task task;
    };
    void boot(Kernel kernel) { kernel_ = std::move(kernel); }

    void run_thread(UserThread thread) { thread_.emplace(std::move(thread)); }
    /// Carried out instead of the thread's own accesses, after every other thread is there.
    void run_operation(std::function<void(rmap::Cpu&)> operation) {
        operation_ = std::move(operation);
    }

    void run(models::CoreModule& core) override;
    void handle_interrupt(models::CoreModule& core, const rmap::TakenInterrupt& taken) override;

    /// Everything it was to do is done; only interrupts are served from here on.
    bool finished() const { return finished_at_ != rmap::kNever; }
    rmap::Instant finished_at() const { return finished_at_; }

private:
    void run_user(models::CoreModule& core);
    void answer_requests(models::CoreModule& core, std::vector<std::uint64_t>& answered);
    void access(models::CoreModule& core, rmap::VirtAddr address, rmap::Access kind);

    Kernel kernel_;
    std::optional<UserThread> thread_;
    std::function<void(rmap::Cpu&)> operation_;
    rmap::Instant finished_at_ = rmap::kNever;
};

}  // namespace mmusim::platform
