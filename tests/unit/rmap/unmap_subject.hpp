// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/try_to_unmap.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

// What the cases of try_to_unmap() unmap, and how.

namespace mmusim::test {

inline constexpr auto kReclaim = rmap::TtuFlags::kBatchFlush;
inline constexpr auto kMigrate =
    rmap::TtuFlags::kMigration | rmap::TtuFlags::kIgnoreMlock | rmap::TtuFlags::kIgnoreAccess;

/// One page of one mm, as a case wants it.
struct Subject {
    KernelBench& bench;
    rmap::Mm& mm;

    rmap::Page& isolated() { return bench.isolate(mm, 0); }
    rmap::Page& in_swap_cache() {
        rmap::Page& page = isolated();
        REQUIRE(rmap::add_to_swap(bench.cpu(), bench.kernel.state(), page));
        return page;
    }
};

inline void map_anon(Subject& s, const rmap::Populate& how, std::uint64_t vm_flags = 0) {
    s.bench.kernel.mmap_anon(s.bench.cpu(), s.mm, s.bench.range(1));
    s.bench.kernel.populate(s.bench.cpu(), s.mm, s.bench.range(1), how);
    // Its pages are not mlocked yet.
    rmap::Vma& vma = *s.mm.find_vma(s.bench.page(0));
    rmap::set_vm_flags(s.bench.cpu(), vma, vma.vm_flags | vm_flags);
}

/// A page that has gone through MADV_FREE.
inline rmap::Page& lazyfree(Subject& s) {
    map_anon(s, KernelBench::kColdCleaned);
    rmap::Page& page = s.bench.mapped_page(s.mm, 0);
    page.clear(s.bench.cpu(), rmap::PageFlag::kDirty);
    rmap::mark_page_lazyfree(s.bench.cpu(), s.bench.kernel.state(), page);
    s.bench.drain();
    return page;
}

}  // namespace mmusim::test
