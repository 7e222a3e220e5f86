// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/flush/cpu_tlb_state.hpp"
#include "rmap/flush/flush_tlb_info.hpp"
#include "rmap/ports/call_function_port.hpp"
#include "rmap/ports/flush_port.hpp"
#include "rmap/ports/line_allocator.hpp"
#include "rmap/types/injected_fault.hpp"

namespace mmusim::rmap {

struct X86FlushConfig {
    unsigned cpus = 1;
    std::uint64_t single_page_flush_ceiling = 33;  ///< more units than this: everything
    PcidMode pcid = PcidMode::kOn;
    FrameNumber init_pgd{};  ///< swapper_pg_dir: what CR3 points to while init_mm is loaded
    InjectedFault fault = InjectedFault::kNone;
};

/// Counts of one CPU.
struct X86FlushStats {
    std::uint64_t ipi_sent = 0;      ///< targets that this CPU sent an interrupt to
    std::uint64_t flush_local = 0;   ///< requests served for this CPU's own flush
    std::uint64_t flush_remote = 0;  ///< NR_TLB_REMOTE_FLUSH_RECEIVED, its own second turn included
    std::uint64_t flush_full = 0;    ///< of both: everything was invalidated
    std::uint64_t flush_partial = 0;  ///< of both: single entries were invalidated
    std::uint64_t flush_batch = 0;    ///< arch_tlbbatch_flush()
    std::uint64_t flush_rounds = 0;   ///< shootdowns that asked at least one other CPU to flush

    X86FlushStats& operator+=(const X86FlushStats& other);
};

/// The x86 TLB code of Linux v5.0 (arch/x86/mm/tlb.c): what is flushed, where and when, over the
/// invalidation instructions and interrupts of the ports. Every CPU starts with init_mm in slot 0.
/// State that several CPUs touch (tlb_gen, mm_cpumask, is_lazy, call queues) is in simulated
/// memory; the rest is a CPU's own.
/// Does not model: page-table isolation, global kernel flushes, paravirtual flushes.
class X86Flush final : public FlushPort {
public:
    /// Takes one line per CPU: is_lazy.
    X86Flush(const X86FlushConfig& config, LineAllocator& lines, CallFunctionPort& calls);
    X86Flush(const X86Flush&) = delete;
    X86Flush& operator=(const X86Flush&) = delete;

    bool other_cpu_in_cpumask(Cpu& cpu, const MmContext& mm) override;
    void batch_add_mm(Cpu& cpu, FlushBatch& batch, const MmContext& mm) override;
    /// Leaves flush_required and writable to the caller.
    void batch_flush(Cpu& cpu, FlushBatch& batch) override;
    void flush_tlb_mm_range(Cpu& cpu, const MmContext& mm, VirtRange range, unsigned stride_shift,
                            bool freed_tables) override;
    /// Time of the CR3 load and of the words goes to Part::kSwitch; schedule() itself is not here.
    void switch_mm(Cpu& cpu, const MmContext* next) override;
    void enter_lazy_tlb(Cpu& cpu) override;

    /// For reports and tests; never to decide anything on another CPU.
    const X86FlushStats& stats(CpuId cpu) const { return cpus_.at(cpu).stats; }
    const CpuTlbState& cpu_tlbstate(CpuId cpu) const { return cpus_.at(cpu).tlb; }

private:
    struct PerCpu {
        CpuTlbState tlb;
        X86FlushStats stats;
    };

    struct NewTlbGen {
        std::uint64_t value = 0;
        Instant raised;
    };

    FlushTlbInfo request(const MmContext& mm, VirtRange range, unsigned stride_shift) const;
    NewTlbGen inc_mm_tlb_gen(Cpu& cpu, const MmContext& mm);
    CpuMask read_cpumask(Cpu& cpu, const MmContext& mm);
    bool tlb_is_not_lazy(Cpu& cpu, CpuId target);
    void flush_tlb_others(Cpu& cpu, CpuMask mask, const FlushTlbInfo& info);
    void on_each_not_lazy_cpu(Cpu& cpu, const CpuMask& mask, const FlushTlbInfo& info);
    void call_many(Cpu& cpu, const CpuMask& mask, const FlushTlbInfo& info);

    void flush_tlb_func_local(Cpu& cpu, const FlushTlbInfo& info, TlbFlushReason reason);
    void flush_tlb_func_remote(Cpu& cpu, const FlushTlbInfo& info, Part part);
    void flush_tlb_func_common(Cpu& cpu, const FlushTlbInfo& info, TlbFlushReason reason,
                               Part part);
    void catch_up(Cpu& cpu, const FlushTlbInfo& info, TlbFlushReason reason, Part part);
    void invalidate(Cpu& cpu, const FlushTlbInfo& info, Part part);

    void switch_mm_irqs_off(Cpu& cpu, const MmContext& next, Part part);
    void load_new_mm(Cpu& cpu, const MmContext& next, std::uint64_t next_tlb_gen,
                     CpuTlbState::Choice choice, Part part);
    Instant move_between_cpumasks(Cpu& cpu, const MmContext& prev, const MmContext& next,
                                  Part part);
    Instant set_lazy(Cpu& cpu, bool is_lazy, Part part);
    std::uint64_t read_tlb_gen(Cpu& cpu, const MmContext& mm, Part part);

    PerCpu& own(const Cpu& cpu) { return cpus_.at(cpu.id()); }

    const X86FlushConfig config_;
    const MmContext init_mm_;
    std::vector<PerCpu> cpus_;
    CallFunctionPort& calls_;
};

}  // namespace mmusim::rmap
