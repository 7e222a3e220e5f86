// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

/// The memory lines of /proc/PID/status (fs/proc/task_mmu.c:task_mem), in pages. visit() has them
/// in v5.0's order. Three of them are 0 in every run, as they are for most processes of a real
/// machine: nobody pins pages for good (VmPin), nobody calls exec, so that all code is VmLib
/// (VmExe), and there are no pages of hugetlbfs (HugetlbPages).
struct MmStatus {
    std::uint64_t vm_peak = 0;  ///< highest vm_size
    std::uint64_t vm_size = 0;  ///< all that is mapped, resident or not
    std::uint64_t vm_lck = 0;
    std::uint64_t vm_pin = 0;
    std::uint64_t vm_hwm = 0;  ///< highest vm_rss
    std::uint64_t vm_rss = 0;
    std::uint64_t rss_anon = 0;
    std::uint64_t rss_file = 0;
    std::uint64_t rss_shmem = 0;
    std::uint64_t vm_data = 0;
    std::uint64_t vm_stk = 0;
    std::uint64_t vm_exe = 0;
    std::uint64_t vm_lib = 0;
    std::uint64_t vm_pte = 0;  ///< page-table pages of all levels but the top one
    std::uint64_t vm_swap = 0;
    std::uint64_t hugetlb_pages = 0;

    /// v(name, pages) for each line.
    template <class Visitor>
    void visit(Visitor&& v) const {
        v("VmPeak", vm_peak);
        v("VmSize", vm_size);
        v("VmLck", vm_lck);
        v("VmPin", vm_pin);
        v("VmHWM", vm_hwm);
        v("VmRSS", vm_rss);
        v("RssAnon", rss_anon);
        v("RssFile", rss_file);
        v("RssShmem", rss_shmem);
        v("VmData", vm_data);
        v("VmStk", vm_stk);
        v("VmExe", vm_exe);
        v("VmLib", vm_lib);
        v("VmPTE", vm_pte);
        v("VmSwap", vm_swap);
        v("HugetlbPages", hugetlb_pages);
    }
};

/// What task_mem() reads: no lock is taken, so counters that change meanwhile need not agree. What
/// running tasks have not folded into the mm yet is missing. Time passes: Part::kPageState.
MmStatus mm_status(Cpu& cpu, const Mm& mm);

}  // namespace mmusim::rmap
