// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mm.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

MmContext make_context(MmId id, FrameNumber pgd, LineAllocator& lines) {
    MmContext context{id, pgd, lines.allocate_line(), lines.allocate_line()};
    constexpr unsigned kLines = CpuMask::kWords * 8 / kLineSize;
    PhysAddr last = context.cpumask;
    for (unsigned i = 1; i < kLines; ++i) {
        const PhysAddr line = lines.allocate_line();
        MMUSIM_CHECK(line == last + kLineSize, "the lines of a cpumask are adjacent");
        last = line;
    }
    return context;
}

}  // namespace

Mm::Mm(std::string mm_name, MmId id, unsigned group, FrameNumber pgd, LineAllocator& lines)
    : name(std::move(mm_name)),
      context(make_context(id, pgd, lines)),
      memcg(group),
      mmap_sem(lines.allocate_line()),
      page_table_lock(lines.allocate_line()),
      rss_stat(lines.allocate_line()),
      hiwater_rss(rss_stat + 8 * kMmCounters),
      pgtables_bytes(page_table_lock.word() + 8),
      tlb_flush_batched(lines.allocate_line()),
      tlb_flush_pending(tlb_flush_batched + 8),
      mmlist(tlb_flush_batched + 16) {}

Vma* Mm::find_vma(VirtAddr address) const {
    auto above = mmap.upper_bound(address);
    if (above == mmap.begin()) return nullptr;
    Vma* vma = std::prev(above)->second.get();
    return vma->range().contains(address) ? vma : nullptr;
}

Vma* Mm::find_vma_before(VirtAddr address) const {
    const auto at = mmap.lower_bound(address);
    return at == mmap.begin() ? nullptr : std::prev(at)->second.get();
}

Vma* Mm::find_vma_ending_after(VirtAddr address) const {
    if (Vma* vma = find_vma(address)) return vma;
    const auto above = mmap.upper_bound(address);
    return above == mmap.end() ? nullptr : above->second.get();
}

Vma* Mm::previous(const Vma& vma) const { return find_vma_before(vma.vm_start); }

Vma* Mm::next(const Vma& vma) const {
    const auto above = mmap.upper_bound(vma.vm_start);
    return above == mmap.end() ? nullptr : above->second.get();
}

void vm_stat_account(Mm& mm, std::uint64_t vm_flags, std::int64_t npages) {
    constexpr std::uint64_t kStack = VmFlags::kGrowsDown;
    const auto pages = static_cast<std::uint64_t>(npages);
    mm.total_vm += pages;
    if ((vm_flags & (VmFlags::kExec | VmFlags::kWrite | kStack)) == VmFlags::kExec)
        mm.exec_vm += pages;
    else if (vm_flags & kStack)
        mm.stack_vm += pages;
    else if ((vm_flags & (VmFlags::kWrite | VmFlags::kShared)) == VmFlags::kWrite)
        mm.data_vm += pages;
}

void update_hiwater_vm(Mm& mm) { mm.hiwater_vm = std::max(mm.hiwater_vm, mm.total_vm); }

void mmap_sem_lock_read(Cpu& cpu, Mm& mm) {
    mm.mmap_sem.lock_read(cpu);
    cpu.emit(Event::kMmapSemLock, {mm.context.id, 0});
}

bool mmap_sem_trylock_read(Cpu& cpu, Mm& mm) {
    if (!mm.mmap_sem.try_lock_read(cpu)) return false;
    cpu.emit(Event::kMmapSemLock, {mm.context.id, 0});
    return true;
}

void mmap_sem_unlock_read(Cpu& cpu, Mm& mm) {
    cpu.emit(Event::kMmapSemUnlock, {mm.context.id, 0});
    mm.mmap_sem.unlock_read(cpu);
}

void mmap_sem_lock_write(Cpu& cpu, Mm& mm) {
    mm.mmap_sem.lock_write(cpu);
    cpu.emit(Event::kMmapSemLock, {mm.context.id, 1});
}

void mmap_sem_unlock_write(Cpu& cpu, Mm& mm) {
    cpu.emit(Event::kMmapSemUnlock, {mm.context.id, 1});
    mm.mmap_sem.unlock_write(cpu);
}

void mmap_sem_downgrade_write(Cpu& cpu, Mm& mm) {
    cpu.emit(Event::kMmapSemDowngrade, {mm.context.id});
    mm.mmap_sem.downgrade_write(cpu);
}

}  // namespace mmusim::rmap
