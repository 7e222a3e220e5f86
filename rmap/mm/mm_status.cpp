// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mm_status.hpp"

#include <algorithm>

#include "rmap/mm/mm_counter.hpp"

namespace mmusim::rmap {

namespace {

/// Pages between start_code and end_code.
std::uint64_t text_pages(const Mm& mm) {
    const std::uint64_t end = (mm.end_code.value + kPageSize - 1) >> kPageShift;
    return end - page_of(mm.start_code).value;
}

}  // namespace

MmStatus mm_status(Cpu& cpu, const Mm& mm) {
    MmStatus status;
    status.rss_anon = get_mm_counter(cpu, mm, MmCounter::kAnonPages);
    status.rss_file = get_mm_counter(cpu, mm, MmCounter::kFilePages);
    status.rss_shmem = get_mm_counter(cpu, mm, MmCounter::kShmemPages);
    status.vm_rss = status.rss_anon + status.rss_file + status.rss_shmem;
    status.vm_size = mm.total_vm;
    // The marks are only brought up to date before a decrease.
    status.vm_peak = std::max(mm.hiwater_vm, mm.total_vm);
    status.vm_hwm =
        std::max(status.vm_rss, cpu.memory().load(mm.hiwater_rss, Part::kPageState).value);
    status.vm_lck = mm.locked_vm;
    status.vm_pin = mm.pinned_vm;
    status.vm_data = mm.data_vm;
    status.vm_stk = mm.stack_vm;
    status.vm_exe = std::min(text_pages(mm), mm.exec_vm);
    status.vm_lib = mm.exec_vm - status.vm_exe;
    status.vm_pte = cpu.memory().load(mm.pgtables_bytes, Part::kPageState).value >> kPageShift;
    status.vm_swap = get_mm_counter(cpu, mm, MmCounter::kSwapEnts);
    return status;
}

}  // namespace mmusim::rmap
