// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/account/accountant.hpp"
#include "rmap/ports/interrupt_port.hpp"
#include "rmap/ports/iommu_port.hpp"
#include "rmap/ports/phys_mem_port.hpp"
#include "rmap/ports/time_port.hpp"
#include "rmap/ports/tlb_port.hpp"
#include "rmap/ports/trace_port.hpp"
#include "rmap/types/kernel_costs.hpp"

namespace mmusim::rmap {

struct Task;

/// What code running on a CPU has in hand: smp_processor_id(), `current` and the ports through
/// which it spends time. Kernel functions take it as their first argument; a function that does
/// not have it cannot let time pass.
class Cpu {
public:
    struct Ports {
        TimePort& time;
        PhysMemPort& memory;
        TlbPort& tlb;
        InterruptPort& interrupts;
        TracePort& trace;
        Accountant& account;
        IommuPort* iommu = nullptr;  ///< null on a machine without one
    };

    Cpu(CpuId id, const Ports& ports, const KernelCosts& costs)
        : ports_(ports), costs_(costs), id_(id) {}

    CpuId id() const { return id_; }
    TimePort& time() { return ports_.time; }
    PhysMemPort& memory() { return ports_.memory; }
    TlbPort& tlb() { return ports_.tlb; }
    InterruptPort& interrupts() { return ports_.interrupts; }
    Accountant& account() { return ports_.account; }
    /// Only drivers of an IOMMU call it, so there is one.
    IommuPort& iommu() { return *ports_.iommu; }
    const KernelCosts& costs() const { return costs_; }

    Instant now() const { return ports_.time.local_now(); }
    void spend(Duration cost, Part part) { ports_.time.spend(cost, part); }
    /// An event of the innermost operation, or of another one that this CPU works for.
    void emit(Event event, const EventArguments& arguments = {}) {
        emit(ports_.account.current(), event, arguments);
    }
    void emit(OperationId operation, Event event, const EventArguments& arguments) {
        ports_.trace.emit(operation, event, arguments);
    }

    /// The task that runs here; set by the scheduler code only.
    Task* current = nullptr;

private:
    Ports ports_;
    const KernelCosts& costs_;
    CpuId id_;
};

}  // namespace mmusim::rmap
