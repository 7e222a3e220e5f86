// SPDX-License-Identifier: Apache-2.0
// Which mm a CPU has loaded: the part of X86Flush that the scheduler calls.
#include "rmap/flush/x86_flush.hpp"
#include "rmap/sync/full_barrier.hpp"

namespace mmusim::rmap {

void X86Flush::switch_mm(Cpu& cpu, const MmContext* next) {
    const InterruptsOff irqs_off(cpu.time());
    switch_mm_irqs_off(cpu, next ? *next : init_mm_, Part::kSwitch);
}

void X86Flush::enter_lazy_tlb(Cpu& cpu) {
    const InterruptsOff irqs_off(cpu.time());
    if (own(cpu).tlb.loaded_mm.id != kInitMm) set_lazy(cpu, true, Part::kSwitch);
}

void X86Flush::switch_mm_irqs_off(Cpu& cpu, const MmContext& next, Part part) {
    CpuTlbState& state = own(cpu).tlb;
    const bool was_lazy = state.is_lazy;
    const Instant not_lazy = set_lazy(cpu, false, part);

    if (state.loaded_mm.id == next.id) {
        if (!was_lazy) return;  // another thread of the same process
        // The flusher raises tlb_gen and then reads is_lazy; here it is the other way round.
        full_barrier(cpu, not_lazy, part);
        const std::uint64_t tlb_gen = read_tlb_gen(cpu, next, part);
        if (state.loaded_context().tlb_gen == tlb_gen) return;
        load_new_mm(cpu, next, tlb_gen, {state.loaded_mm_asid, CpuTlbState::NeedFlush::kYes}, part);
        return;
    }

    const Instant in_mask = move_between_cpumasks(cpu, state.loaded_mm, next, part);
    if (next.id != kInitMm) full_barrier(cpu, in_mask, part);
    const std::uint64_t tlb_gen = read_tlb_gen(cpu, next, part);
    load_new_mm(cpu, next, tlb_gen, state.choose_new_asid(next.id, tlb_gen, config_.pcid), part);
}

/// When the CPU got into the mask of `next`.
Instant X86Flush::move_between_cpumasks(Cpu& cpu, const MmContext& prev, const MmContext& next,
                                        Part part) {
    const std::uint64_t bit = std::uint64_t{1} << cpu.id() % 64;
    const std::uint64_t offset = cpu.id() / 64 * 8;
    if (prev.id != kInitMm)
        cpu.memory().read_modify_write(
            prev.cpumask + offset,
            [=](Word old, Instant) {
                return Word{old.value & ~bit, 0};
            },
            part);
    Instant in_mask;
    if (next.id != kInitMm)
        cpu.memory().read_modify_write(
            next.cpumask + offset,
            [&](Word old, Instant serialised) {
                in_mask = serialised;
                return Word{old.value | bit, 0};
            },
            part);
    return in_mask;
}

/// The slot must be current with tlb_gen as read after the CPU's bit was set (T1).
void X86Flush::load_new_mm(Cpu& cpu, const MmContext& next, std::uint64_t next_tlb_gen,
                           CpuTlbState::Choice choice, Part part) {
    CpuTlbState& state = own(cpu).tlb;
    const bool flush = choice.need_flush == CpuTlbState::NeedFlush::kYes;
    cpu.emit(Event::kSwitchMm, {state.loaded_mm.id, next.id, flush});
    if (flush) state.ctxs[choice.asid] = {next.id, next_tlb_gen};

    TlbOperation cr3;
    cr3.kind = flush ? TlbOperation::Kind::kCr3Write : TlbOperation::Kind::kCr3WriteNoFlush;
    cr3.pcid = CpuTlbState::pcid(choice.asid, config_.pcid);
    cr3.root = address_of(next.pgd);
    cpu.tlb().execute(cr3, part);
    cpu.emit(Event::kTlbFlush,
             {static_cast<std::uint64_t>(TlbFlushReason::kTaskSwitch), flush ? kAllPages : 0});
    state.loaded_mm = next;
    state.loaded_mm_asid = choice.asid;
}

/// Written even when it does not change, as v5.0 does: that takes the line from the flushers who
/// have just read it. Returns when it was written.
Instant X86Flush::set_lazy(Cpu& cpu, bool is_lazy, Part part) {
    CpuTlbState& state = own(cpu).tlb;
    state.is_lazy = is_lazy;
    Instant written;
    cpu.memory().read_modify_write(
        state.is_lazy_word,
        [&](Word, Instant serialised) {
            written = serialised;
            return Word{is_lazy, 0};
        },
        part);
    return written;
}

std::uint64_t X86Flush::read_tlb_gen(Cpu& cpu, const MmContext& mm, Part part) {
    return mm.id == kInitMm ? 0 : cpu.memory().load(mm.tlb_gen, part).value;
}

}  // namespace mmusim::rmap
