// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "notifiers/notifier_chain.hpp"
#include "platform/build/platform.hpp"
#include "platform/config/platform_config.hpp"
#include "rmap/flush/x86_flush.hpp"
#include "rmap/kernel.hpp"
#include "rmap/smp/call_function.hpp"

namespace mmusim::platform {

/// A machine of real modules with our kernel on it and no process yet: all that ever happens on it
/// happens in simulated time, on the CPUs. Once per process: SystemC elaborates once.
class ConformMachine {
public:
    using Emitted =
        std::function<void(rmap::CpuId, rmap::Event, const rmap::EventArguments& arguments)>;
    using Interrupted = std::function<void(rmap::CpuId, const rmap::TakenInterrupt&)>;
    using Program = std::function<void(models::CoreModule&, rmap::Cpu&)>;

    struct Options {
        const PlatformConfig& platform;
        rmap::SwapConfig swap;
        unsigned memcgs = 1;
        Emitted emitted;
        Interrupted interrupted;  ///< interrupts off
    };

    explicit ConformMachine(const Options& options);
    ~ConformMachine();
    ConformMachine(const ConformMachine&) = delete;
    ConformMachine& operator=(const ConformMachine&) = delete;

    unsigned cpus() const { return machine_->cores(); }
    rmap::Cpu& cpu(rmap::CpuId id) { return *cpus_.at(id); }
    models::CoreModule& core(rmap::CpuId id) { return machine_->core(id); }
    rmap::Kernel& kernel() { return *kernel_; }
    rmap::X86Flush& flush() { return *flush_; }
    rmap::CallFunction& calls() { return *calls_; }
    rmap::Task& task(rmap::CpuId id) { return tasks_.at(id); }

    /// An interrupt from one CPU to another that bypasses the fabric; it arrives a little later.
    void interrupt(rmap::Cpu& from, rmap::CpuId to, rmap::Vector vector);

    /// Runs `program` on each core until nothing happens any more, or until `progress` has not
    /// changed for a long time. Rethrows what a program threw.
    void run(const Program& program, const std::function<std::size_t()>& progress);

private:
    class Software;
    class Trace;

    std::vector<std::unique_ptr<Software>> software_;
    std::unique_ptr<Platform> machine_;
    std::unique_ptr<rmap::KernelMemory> memory_;
    std::unique_ptr<rmap::CallFunction> calls_;
    std::unique_ptr<rmap::X86Flush> flush_;
    notifiers::NotifierChain chain_;
    std::unique_ptr<rmap::Kernel> kernel_;
    std::vector<std::unique_ptr<Trace>> traces_;
    std::vector<std::unique_ptr<rmap::Cpu>> cpus_;
    std::vector<rmap::Task> tasks_;
};

}  // namespace mmusim::platform
