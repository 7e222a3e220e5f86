// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/cpu.hpp"
#include "rmap/types/cpu_mask.hpp"

namespace mmusim::rmap {

/// mm_context_t and mm_cpumask: what flushing needs to know of an address space. The words are in
/// simulated memory because every CPU that runs the mm reads and writes them without a lock.
struct MmContext {
    MmId id = 0;
    FrameNumber pgd{};   ///< top-level page table
    PhysAddr tlb_gen{};  ///< word: context.tlb_gen
    PhysAddr cpumask{};  ///< CpuMask::kWords words, 64 CPUs each
};

/// struct tlbflush_unmap_batch (include/linux/mm_types_task.h): belongs to the task that reclaims.
struct FlushBatch {
    CpuMask cpumask;
    bool flush_required = false;
    bool writable = false;
};

/// What the mm code asks of the architecture's TLB code (arch/x86/mm/tlb.c). Everything returns
/// when it is complete on all CPUs, except batch_add_mm, which only takes notes.
class FlushPort {
public:
    virtual ~FlushPort() = default;

    /// cpumask_any_but(mm_cpumask(mm), this CPU) found one: lazy CPUs count.
    virtual bool other_cpu_in_cpumask(Cpu& cpu, const MmContext& mm) = 0;

    /// arch_tlbbatch_add_mm(): tlb_gen++ (full barrier), then batch.cpumask |= mm_cpumask. Emits
    /// ubc_tlb_gen_inc between the two. The caller holds the page-table lock.
    virtual void batch_add_mm(Cpu& cpu, FlushBatch& batch, const MmContext& mm) = 0;

    /// arch_tlbbatch_flush(): one round to every CPU of the batch; clears the mask.
    virtual void batch_flush(Cpu& cpu, FlushBatch& batch) = 0;

    /// flush_tlb_mm_range(). `stride_shift` 12 for PTEs, 21 for PMDs.
    virtual void flush_tlb_mm_range(Cpu& cpu, const MmContext& mm, VirtRange range,
                                    unsigned stride_shift, bool freed_tables) = 0;
    void flush_tlb_page(Cpu& cpu, const MmContext& mm, VirtAddr address) {
        const VirtAddr start = page_start(address);
        flush_tlb_mm_range(cpu, mm, {start, start + kPageSize}, kPageShift, false);
    }
    void flush_tlb_mm(Cpu& cpu, const MmContext& mm) {
        flush_tlb_mm_range(cpu, mm, kAllAddresses, 0, true);
    }

    /// switch_mm_irqs_off(): this CPU runs `next` from now on. nullptr: init_mm.
    virtual void switch_mm(Cpu& cpu, const MmContext* next) = 0;

    /// enter_lazy_tlb(): a kernel thread runs on the previous task's mm; the CPU stays in
    /// mm_cpumask and gets no flush interrupts until it switches back.
    virtual void enter_lazy_tlb(Cpu& cpu) = 0;
};

}  // namespace mmusim::rmap
