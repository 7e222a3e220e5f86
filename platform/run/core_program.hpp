// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "models/cpu/core_module.hpp"
#include "rmap/mm/task.hpp"
#include "rmap/smp/call_function.hpp"

namespace mmusim::platform {

/// What one core runs: a thread, a vCPU, an operation, or nothing; and the kernel below them.
/// Hardware calls it; everything it does takes simulated time.
class CoreProgram final : public models::CoreSoftware {
public:
    using Job = std::function<void(models::CoreModule&, rmap::Cpu&)>;

    /// The ports to the core exist only after the platform was built with this program.
    struct Kernel {
        rmap::Cpu* cpu = nullptr;
        rmap::CallFunction* calls = nullptr;
        rmap::TlbOperation cr3;  ///< address space that set-up has left loaded
        rmap::Task task;
    };
    void boot(Kernel kernel) { kernel_ = std::move(kernel); }

    /// Without a job the core is halted and serves interrupts only.
    void run_job(Job job) { job_ = std::move(job); }

    void run(models::CoreModule& core) override;
    void handle_interrupt(models::CoreModule& core, const rmap::TakenInterrupt& taken) override;

    /// Everything it was to do is done; only interrupts are served from here on.
    bool finished() const { return finished_at_ != rmap::kNever; }
    rmap::Instant finished_at() const { return finished_at_; }

private:
    Kernel kernel_;
    Job job_;
    rmap::Instant finished_at_ = rmap::kNever;
};

}  // namespace mmusim::platform
