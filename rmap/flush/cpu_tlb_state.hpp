// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "rmap/ports/flush_port.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::rmap {

inline constexpr unsigned kTlbNrDynAsids = 6;  ///< TLB_NR_DYN_ASIDS

/// CR4.PCIDE.
enum class PcidMode : unsigned char { kOff, kOn };

/// struct tlb_state, cpu_tlbstate (arch/x86/include/asm/tlbflush.h): one CPU's own notes about its
/// TLB. Nobody else looks at them, except at the word of is_lazy.
struct CpuTlbState {
    /// struct tlb_context: the TLB holds nothing of `ctx_id` in this slot that is older than
    /// `tlb_gen`.
    struct Context {
        MmId ctx_id = 0;
        std::uint64_t tlb_gen = 0;
    };
    enum class NeedFlush : unsigned char { kNo, kYes };
    struct Choice {
        unsigned asid = 0;
        NeedFlush need_flush = NeedFlush::kYes;
    };

    MmContext loaded_mm;
    unsigned loaded_mm_asid = 0;
    unsigned next_asid = 1;  ///< slot 0 is init_mm's from the CPU's initialisation
    bool is_lazy = false;    ///< equals the word, which the flushers read
    PhysAddr is_lazy_word{};
    std::array<Context, kTlbNrDynAsids> ctxs{};

    Context& loaded_context() { return ctxs[loaded_mm_asid]; }

    /// kern_pcid(): PCID 0 is left to code that does not use PCIDs.
    static Pcid pcid(unsigned asid, PcidMode mode) {
        return mode == PcidMode::kOn ? static_cast<Pcid>(asid + 1) : Pcid{0};
    }

    /// choose_new_asid(): the slot that `next` has, or else the next one in turn.
    Choice choose_new_asid(MmId next, std::uint64_t next_tlb_gen, PcidMode mode) {
        if (mode == PcidMode::kOff) return {0, NeedFlush::kYes};
        for (unsigned asid = 0; asid < kTlbNrDynAsids; ++asid)
            if (ctxs[asid].ctx_id == next)
                return {asid, ctxs[asid].tlb_gen < next_tlb_gen ? NeedFlush::kYes : NeedFlush::kNo};
        if (next_asid >= kTlbNrDynAsids) next_asid = 0;
        return {next_asid++, NeedFlush::kYes};
    }
};

}  // namespace mmusim::rmap
