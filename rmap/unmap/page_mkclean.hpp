// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// page_mkclean(): write-protects and cleans every shared mapping of a page of a file, so that the
/// next write to it faults. Returns how many mappings were writable or dirty; then the page's
/// content is not on the device yet. On return no CPU can write to it. The page is locked. Time
/// passes.
std::uint64_t page_mkclean(Cpu& cpu, KernelState& kernel, Page& page);

}  // namespace mmusim::rmap
