// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

// The inline wrappers of include/linux/mmu_notifier.h: an mm without notifiers pays nothing.

inline void mmu_notifier_invalidate_range_start(Cpu& cpu, KernelState& kernel,
                                                const NotifierRange& range) {
    if (kernel.notifiers.mm_has_notifiers(range.mm))
        kernel.notifiers.invalidate_range_start(cpu, range);
}

inline StartResult mmu_notifier_invalidate_range_start_nonblock(Cpu& cpu, KernelState& kernel,
                                                                const NotifierRange& range) {
    return kernel.notifiers.mm_has_notifiers(range.mm)
               ? kernel.notifiers.invalidate_range_start_nonblock(cpu, range)
               : StartResult::kDone;
}

inline void mmu_notifier_invalidate_range_end(Cpu& cpu, KernelState& kernel,
                                              const NotifierRange& range) {
    if (kernel.notifiers.mm_has_notifiers(range.mm))
        kernel.notifiers.invalidate_range_end(cpu, range);
}

inline void mmu_notifier_invalidate_range_only_end(Cpu& cpu, KernelState& kernel,
                                                   const NotifierRange& range) {
    if (kernel.notifiers.mm_has_notifiers(range.mm))
        kernel.notifiers.invalidate_range_only_end(cpu, range);
}

inline void mmu_notifier_invalidate_range(Cpu& cpu, KernelState& kernel, const Mm& mm,
                                          VirtRange range) {
    if (kernel.notifiers.mm_has_notifiers(mm.context.id))
        kernel.notifiers.invalidate_range(cpu, mm.context.id, range);
}

inline void mmu_notifier_release(Cpu& cpu, KernelState& kernel, const Mm& mm) {
    if (kernel.notifiers.mm_has_notifiers(mm.context.id))
        kernel.notifiers.release(cpu, mm.context.id);
}

inline bool mmu_notifier_clear_flush_young(Cpu& cpu, KernelState& kernel, const Mm& mm,
                                           VirtRange range) {
    return kernel.notifiers.mm_has_notifiers(mm.context.id) &&
           kernel.notifiers.clear_flush_young(cpu, mm.context.id, range);
}

inline bool mmu_notifier_clear_young(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtRange range) {
    return kernel.notifiers.mm_has_notifiers(mm.context.id) &&
           kernel.notifiers.clear_young(cpu, mm.context.id, range);
}

inline void mmu_notifier_change_pte(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                    Pte pte, Generation generation) {
    if (kernel.notifiers.mm_has_notifiers(mm.context.id))
        kernel.notifiers.change_pte(cpu, mm.context.id, page_start(address), pte, generation);
}

/// The page that contains `address`.
inline VirtRange page_range(VirtAddr address) {
    return {page_start(address), page_start(address) + kPageSize};
}

}  // namespace mmusim::rmap
