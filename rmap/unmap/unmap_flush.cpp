// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/unmap_flush.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

FlushBatch& tlb_ubc(const Cpu& cpu) {
    MMUSIM_CHECK(cpu.current, "a task runs where pages are unmapped");
    return cpu.current->tlb_ubc;
}

/// The whole batch, whichever of its pages cannot wait.
void flush_batch(Cpu& cpu, KernelState& kernel, FlushBatch& ubc) {
    if (!ubc.flush_required) return;
    if (kernel.config.fault == InjectedFault::kSkipBatchFlush)
        ubc.cpumask = {};
    else
        kernel.flush.batch_flush(cpu, ubc);
    ubc.flush_required = false;
    ubc.writable = false;
}

}  // namespace

bool should_defer_flush(Cpu& cpu, KernelState& kernel, const Mm& mm, TtuFlags flags) {
    return has(flags, TtuFlags::kBatchFlush) && kernel.flush.other_cpu_in_cpumask(cpu, mm.context);
}

void set_tlb_ubc_flush_pending(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                               WasDirty was_dirty) {
    FlushBatch& ubc = tlb_ubc(cpu);
    kernel.flush.batch_add_mm(cpu, ubc, mm.context);
    ubc.flush_required = true;
    cpu.emit(Event::kUbcFlushRequired, {mm.context.id, address.value, ubc.cpumask.word(0)});

    // Others who clear entries of this mm must know of the flush before they see them cleared; the
    // page-table lock that is still held sees to that.
    cpu.memory().store(mm.tlb_flush_batched, {1, 0}, Part::kFlushPrepare);
    cpu.emit(Event::kUbcBatchedSet, {mm.context.id, address.value});

    if (was_dirty == WasDirty::kYes) {
        ubc.writable = true;
        cpu.emit(Event::kUbcWritable, {mm.context.id, address.value});
    }
}

void try_to_unmap_flush(Cpu& cpu, KernelState& kernel) {
    FlushBatch& ubc = tlb_ubc(cpu);
    cpu.emit(Event::kTryToUnmapFlush, {ubc.flush_required, ubc.writable});
    flush_batch(cpu, kernel, ubc);
    cpu.emit(Event::kTryToUnmapFlushRet);
}

void try_to_unmap_flush_dirty(Cpu& cpu, KernelState& kernel) {
    FlushBatch& ubc = tlb_ubc(cpu);
    cpu.emit(Event::kTryToUnmapFlushDirty, {ubc.flush_required, ubc.writable});
    if (ubc.writable) flush_batch(cpu, kernel, ubc);
    cpu.emit(Event::kTryToUnmapFlushDirtyRet);
}

void flush_tlb_batched_pending(Cpu& cpu, KernelState& kernel, const Mm& mm) {
    const Word batched = cpu.memory().load(mm.tlb_flush_batched, Part::kFlushPrepare);
    cpu.emit(Event::kFlushTlbBatchedPending, {mm.context.id, batched.value});
    if (!batched.value) return;
    kernel.flush.flush_tlb_mm(cpu, mm.context);
    // What was deferred between the flush and here is forgotten (hazard HZ9).
    cpu.memory().store(mm.tlb_flush_batched, {}, Part::kFlushPrepare);
    cpu.emit(Event::kTlbFlushBatchedClear, {mm.context.id});
}

}  // namespace mmusim::rmap
