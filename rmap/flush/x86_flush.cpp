// SPDX-License-Identifier: Apache-2.0
#include "rmap/flush/x86_flush.hpp"

#include "rmap/sync/full_barrier.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::uint64_t reason_of(TlbFlushReason reason) {
    return static_cast<std::uint64_t>(reason);
}

/// InjectedFault::kShrinkRange: the last unit is left out; a single unit becomes its neighbour.
VirtRange shrunk(VirtRange range, std::uint64_t unit) {
    if (range.end - range.start > unit) return {range.start, {range.end.value - unit}};
    return {range.start + unit, range.end + unit};
}

/// InjectedFault::kDropIpiTarget: without the highest CPU other than `self`.
CpuMask without_highest_target(CpuMask mask, CpuId self) {
    CpuId highest = self;
    mask.for_each([&](CpuId cpu) {
        if (cpu != self) highest = cpu;
    });
    if (highest != self) mask.clear(highest);
    return mask;
}

}  // namespace

X86FlushStats& X86FlushStats::operator+=(const X86FlushStats& other) {
    ipi_sent += other.ipi_sent;
    flush_local += other.flush_local;
    flush_remote += other.flush_remote;
    flush_full += other.flush_full;
    flush_partial += other.flush_partial;
    flush_batch += other.flush_batch;
    flush_rounds += other.flush_rounds;
    return *this;
}

X86Flush::X86Flush(const X86FlushConfig& config, LineAllocator& lines, CallFunctionPort& calls)
    : config_(config),
      init_mm_{kInitMm, config.init_pgd, {}, {}},
      cpus_(config.cpus),
      calls_(calls) {
    MMUSIM_CHECK(config.cpus <= kMaxCpus, "more CPUs than a CpuMask holds");
    for (PerCpu& cpu : cpus_) {
        cpu.tlb.is_lazy_word = lines.allocate_line();
        cpu.tlb.loaded_mm = init_mm_;
        cpu.tlb.loaded_context() = {kInitMm, 0};
    }
}

// ---- what the mm code asks for ----

CpuMask X86Flush::read_cpumask(Cpu& cpu, const MmContext& mm) {
    CpuMask mask;
    for (unsigned word = 0; word * 64 < config_.cpus; ++word)
        mask.set_word(word, cpu.memory().load(mm.cpumask + 8 * word, Part::kFlushPrepare).value);
    return mask;
}

bool X86Flush::other_cpu_in_cpumask(Cpu& cpu, const MmContext& mm) {
    return read_cpumask(cpu, mm).any_but(cpu.id());
}

X86Flush::NewTlbGen X86Flush::inc_mm_tlb_gen(Cpu& cpu, const MmContext& mm) {
    NewTlbGen gen;
    cpu.memory().read_modify_write(
        mm.tlb_gen,
        [&](Word old, Instant serialised) {
            gen = {old.value + 1, serialised};
            return Word{gen.value, 0};
        },
        Part::kFlushPrepare);
    return gen;
}

void X86Flush::batch_add_mm(Cpu& cpu, FlushBatch& batch, const MmContext& mm) {
    const NewTlbGen gen = inc_mm_tlb_gen(cpu, mm);
    cpu.emit(Event::kUbcTlbGenInc, {mm.id, gen.value - 1});
    full_barrier(cpu, gen.raised, Part::kFlushPrepare);
    batch.cpumask |= read_cpumask(cpu, mm);
}

void X86Flush::batch_flush(Cpu& cpu, FlushBatch& batch) {
    cpu.emit(Event::kArchTlbbatchFlush, {batch.cpumask.word(0)});
    ++own(cpu).stats.flush_batch;
    cpu.spend(cpu.costs().flush_setup, Part::kFlushPrepare);
    const FlushTlbInfo everything_loaded;
    if (batch.cpumask.test(cpu.id()))
        flush_tlb_func_local(cpu, everything_loaded, TlbFlushReason::kLocalShootdown);
    if (batch.cpumask.any_but(cpu.id())) flush_tlb_others(cpu, batch.cpumask, everything_loaded);
    batch.cpumask = CpuMask{};
    cpu.emit(Event::kArchTlbbatchFlushRet);
}

FlushTlbInfo X86Flush::request(const MmContext& mm, VirtRange range, unsigned stride_shift) const {
    FlushTlbInfo info;
    info.mm = mm.id;
    info.stride_shift = stride_shift;
    info.range = range;
    if (info.everything() || info.units(stride_shift) > config_.single_page_flush_ceiling)
        info.range = kAllAddresses;
    else if (config_.fault == InjectedFault::kShrinkRange)
        info.range = shrunk(range, std::uint64_t{1} << stride_shift);
    return info;
}

void X86Flush::flush_tlb_mm_range(Cpu& cpu, const MmContext& mm, VirtRange range,
                                  unsigned stride_shift, bool freed_tables) {
    cpu.emit(Event::kFlushTlbMmRange,
             {mm.id, range.start.value, range.end.value, stride_shift, freed_tables});
    cpu.spend(cpu.costs().flush_setup, Part::kFlushPrepare);

    // A CPU that loads the mm sets its bit and then reads tlb_gen; here it is the other way round.
    // So each such CPU is either seen in the mask below or sees the new generation (T1).
    FlushTlbInfo info = request(mm, range, stride_shift);
    info.freed_tables = freed_tables;
    const NewTlbGen gen = inc_mm_tlb_gen(cpu, mm);
    info.new_tlb_gen = gen.value;
    cpu.emit(Event::kTlbGenInc, {mm.id, info.new_tlb_gen});

    if (own(cpu).tlb.loaded_mm.id == mm.id)
        flush_tlb_func_local(cpu, info, TlbFlushReason::kLocalMmShootdown);

    full_barrier(cpu, gen.raised, Part::kFlushPrepare);
    const CpuMask mask = read_cpumask(cpu, mm);
    cpu.emit(Event::kCpumaskRead, {mm.id, mask.word(0)});
    if (mask.any_but(cpu.id())) flush_tlb_others(cpu, mask, info);
    cpu.emit(Event::kFlushTlbMmRangeRet, {mm.id, range.start.value, range.end.value});
}

// ---- other CPUs: native_flush_tlb_others() ----

void X86Flush::flush_tlb_others(Cpu& cpu, CpuMask mask, const FlushTlbInfo& info) {
    cpu.emit(Event::kFlushTlbOthers, {mask.word(0), info.mm, info.range.start.value,
                                      info.range.end.value, info.new_tlb_gen});
    cpu.emit(Event::kTlbFlush, {reason_of(TlbFlushReason::kRemoteSendIpi), info.units(kPageShift)});
    if (info.freed_tables)
        call_many(cpu, mask, info);
    else
        on_each_not_lazy_cpu(cpu, mask, info);
    cpu.emit(Event::kFlushTlbOthersRet);
}

/// on_each_cpu_cond_mask(tlb_is_not_lazy, flush_tlb_func_remote, ...). Lazy CPUs compare tlb_gen
/// when they switch back.
void X86Flush::on_each_not_lazy_cpu(Cpu& cpu, const CpuMask& mask, const FlushTlbInfo& info) {
    CpuMask not_lazy;
    mask.for_each([&](CpuId target) {
        if (tlb_is_not_lazy(cpu, target)) not_lazy.set(target);
    });
    call_many(cpu, not_lazy, info);
    if (!not_lazy.test(cpu.id())) return;
    // on_each_cpu_mask() runs the function on this CPU as well, although its own flush is done.
    const InterruptsOff irqs_off(cpu.time());
    flush_tlb_func_remote(cpu, info, Part::kFlushLocal);
}

bool X86Flush::tlb_is_not_lazy(Cpu& cpu, CpuId target) {
    cpu.emit(Event::kTlbIsNotLazy, {target});
    cpu.spend(cpu.costs().lazy_check, Part::kFlushPrepare);
    const PhysAddr word = cpus_.at(target).tlb.is_lazy_word;
    const bool not_lazy = cpu.memory().load(word, Part::kFlushPrepare).value == 0;
    cpu.emit(Event::kTlbIsNotLazyRet, {not_lazy});
    return not_lazy;
}

void X86Flush::call_many(Cpu& cpu, const CpuMask& mask, const FlushTlbInfo& info) {
    const bool drop = config_.fault == InjectedFault::kDropIpiTarget;
    const CpuMask targets = drop ? without_highest_target(mask, cpu.id()) : mask;
    const auto flush = [this, info](Cpu& target) {
        flush_tlb_func_remote(target, info, Part::kHandler);
    };
    X86FlushStats& stats = own(cpu).stats;
    if (targets.any_but(cpu.id())) ++stats.flush_rounds;
    stats.ipi_sent += calls_.call_many(cpu, targets, flush, CallParts{});
}

// ---- on each CPU that flushes ----

void X86Flush::flush_tlb_func_local(Cpu& cpu, const FlushTlbInfo& info, TlbFlushReason reason) {
    const InterruptsOff irqs_off(cpu.time());
    ++own(cpu).stats.flush_local;
    flush_tlb_func_common(cpu, info, reason, Part::kFlushLocal);
}

void X86Flush::flush_tlb_func_remote(Cpu& cpu, const FlushTlbInfo& info, Part part) {
    cpu.emit(Event::kFlushTlbFuncRemote,
             {info.mm, info.range.start.value, info.range.end.value, info.new_tlb_gen});
    if (info.mm != 0 && info.mm != own(cpu).tlb.loaded_mm.id) return;
    ++own(cpu).stats.flush_remote;
    flush_tlb_func_common(cpu, info, TlbFlushReason::kRemoteShootdown, part);
}

void X86Flush::flush_tlb_func_common(Cpu& cpu, const FlushTlbInfo& info, TlbFlushReason reason,
                                     Part part) {
    cpu.emit(Event::kFlushTlbFunc, {reason_of(reason), info.mm, info.range.start.value,
                                    info.range.end.value, info.new_tlb_gen});
    cpu.spend(cpu.costs().flush_function, part);
    catch_up(cpu, info, reason, part);
    cpu.emit(Event::kFlushTlbFuncRet);
}

void X86Flush::catch_up(Cpu& cpu, const FlushTlbInfo& info, TlbFlushReason reason, Part part) {
    CpuTlbState& state = own(cpu).tlb;
    if (state.loaded_mm.id == kInitMm) return;
    const std::uint64_t mm_tlb_gen = read_tlb_gen(cpu, state.loaded_mm, part);
    if (state.is_lazy) {
        // The walk caches have to go too, and leaving the mm is hardly slower than flushing it.
        switch_mm_irqs_off(cpu, init_mm_, part);
        return;
    }

    const std::uint64_t local_tlb_gen = state.loaded_context().tlb_gen;
    if (local_tlb_gen == mm_tlb_gen) {
        cpu.emit(Event::kTlbFlush, {reason_of(reason), 0});
        return;
    }
    MMUSIM_CHECK(local_tlb_gen < mm_tlb_gen && info.new_tlb_gen <= mm_tlb_gen,
                 "tlb_gen only grows, and is raised before anybody is asked to flush");

    // A range covers one generation. It is enough only if that is the next one and the last.
    const bool next_and_last =
        info.new_tlb_gen == local_tlb_gen + 1 && info.new_tlb_gen == mm_tlb_gen;
    FlushTlbInfo done = info;
    if (!next_and_last) done.range = kAllAddresses;
    invalidate(cpu, done, part);
    cpu.emit(Event::kTlbFlush, {reason_of(reason), done.units(done.stride_shift)});
    cpu.emit(Event::kTlbInvalidated,
             {state.loaded_mm.id, done.range.start.value, done.range.end.value, mm_tlb_gen});
    state.loaded_context().tlb_gen = mm_tlb_gen;
}

void X86Flush::invalidate(Cpu& cpu, const FlushTlbInfo& info, Part part) {
    const CpuTlbState& state = own(cpu).tlb;
    TlbOperation operation;
    operation.pcid = CpuTlbState::pcid(state.loaded_mm_asid, config_.pcid);
    if (info.everything()) {
        ++own(cpu).stats.flush_full;
        operation.kind = TlbOperation::Kind::kCr3Write;
        operation.root = address_of(state.loaded_mm.pgd);
        cpu.tlb().execute(operation, part);
        return;
    }
    ++own(cpu).stats.flush_partial;
    operation.kind = TlbOperation::Kind::kInvlpg;
    const std::uint64_t unit = std::uint64_t{1} << info.stride_shift;
    for (VirtAddr a = info.range.start; a < info.range.end; a = a + unit) {
        operation.address = a;
        cpu.tlb().execute(operation, part);
    }
}

}  // namespace mmusim::rmap
