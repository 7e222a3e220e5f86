// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// pageout_t
enum class Pageout {
    kKeep,      ///< somebody else uses the page: still locked, not written
    kActivate,  ///< nowhere to write it to: still locked and dirty
    kSuccess,   ///< its write was started, and may be over; unlocked
    kClean,     ///< there is nothing to write: still locked
};

/// The flags argument of the mm_vmscan_* tracepoints (trace_reclaim_flags()).
struct ReclaimWriteback {
    static constexpr std::uint64_t kAnon = 0x1;
    static constexpr std::uint64_t kFile = 0x2;
    static constexpr std::uint64_t kAsync = 0x8;
    static constexpr std::uint64_t of(bool file) { return (file ? kFile : kAnon) | kAsync; }
};

/// page_is_file_cache(): on the lists of files, not of what goes to swap.
inline bool page_is_file_cache(Cpu& cpu, const Page& page) {
    return !page.test(cpu, PageFlag::kSwapBacked);
}

/// pageout(): starts the write of a dirty page to its file or to swap. Page locked, isolated, not
/// mapped, and no CPU can write through a stale translation (try_to_unmap_flush_dirty()).
Pageout pageout(Cpu& cpu, KernelState& kernel, Page& page);

/// __remove_mapping(): takes the page out of the swap cache or the page cache, if nobody else has a
/// reference and it is clean. Page locked. On success it has no reference left.
bool remove_mapping(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page);

}  // namespace mmusim::rmap
