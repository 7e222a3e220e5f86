// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// copy_page_range(): gives `dst` what the entries of `src` map, write-protecting both if the VMA
/// is private. Shared file mappings are left to fault again. Both mms' VMAs cannot change. Opens a
/// notifier section of the parent if its entries change.
void copy_page_range(Cpu& cpu, KernelState& kernel, Vma& dst, const Vma& src);

}  // namespace mmusim::rmap
