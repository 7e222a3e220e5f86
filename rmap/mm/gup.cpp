// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/gup.hpp"

#include <algorithm>

#include "rmap/mm/fault.hpp"
#include "rmap/mm/mlock_page.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

UserPage user_page(Word entry) {
    const Pte pte = pte_of(entry);
    return {pte.frame(), entry.generation, pte.writable()};
}

/// check_vma_flags(): an entry may be there although the VMA does not allow the access.
bool check_vma_flags(const Vma& vma, Access access) {
    return vma.has(access == Access::kWrite ? VmFlags::kWrite : VmFlags::kRead);
}

/// faultin_page() and what __get_user_pages() does around it: the page at `address`, faulted in as
/// often as necessary; nothing if no mapping allows the access.
std::optional<UserPage> follow_or_fault(Cpu& cpu, KernelState& kernel, const Vma& vma,
                                        VirtAddr address, FollFlags flags) {
    const Access access = has(flags, FollFlags::kWrite) ? Access::kWrite : Access::kRead;
    auto page = follow_page(cpu, kernel, vma, address, flags, Part::kFault);
    while (!page &&
           handle_mm_fault(cpu, kernel, *vma.vm_mm, address, access) == FaultResult::kHandled)
        page = follow_page(cpu, kernel, vma, address, flags, Part::kFault);
    return page;
}

/// FOLL_TOUCH. SetPageDirty is tested first, because most pages are dirty already.
void touch_page(Cpu& cpu, KernelState& kernel, Page& page, Pte pte, FollFlags flags) {
    const bool write = has(flags, FollFlags::kWrite);
    if (write && !pte.dirty() && !page.test(cpu, PageFlag::kDirty))
        set_page_dirty(cpu, kernel, page);
    mark_page_accessed(cpu, kernel, page);
}

/// FOLL_MLOCK. A page that somebody else has locked is left to reclaim, which notices that its VMA
/// is locked when it gets there.
void mlock_page(Cpu& cpu, KernelState& kernel, Page& page) {
    if (page.mapping(cpu).null() || !trylock_page(cpu, page)) return;
    lru_add_drain(cpu, kernel);  // what is on its way to a list cannot be isolated
    mlock_vma_page(cpu, kernel, page);
    unlock_page(cpu, page);
}

/// follow_page_pte(), with the page-table lock held.
std::optional<UserPage> follow_page_pte(Cpu& cpu, KernelState& kernel, const Vma& vma,
                                        PhysAddr ptep, FollFlags flags, Part walk) {
    const Word entry = read_pte(cpu, ptep, walk);
    const Pte pte = pte_of(entry);
    if (!pte.present()) return std::nullopt;
    if (has(flags, FollFlags::kWrite) && !pte.writable()) return std::nullopt;
    Page* page = vm_normal_page(kernel, pte);
    if (!page && has(flags, FollFlags::kDump)) return std::nullopt;
    if (page && has(flags, FollFlags::kGet)) get_page(cpu, *page);
    if (page && has(flags, FollFlags::kTouch)) touch_page(cpu, kernel, *page, pte, flags);
    if (page && has(flags, FollFlags::kMlock) && vma.has(VmFlags::kLocked))
        mlock_page(cpu, kernel, *page);
    return user_page(entry);
}

}  // namespace

std::optional<UserPage> follow_page(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtAddr address,
                                    FollFlags flags, Part walk) {
    const auto slot = find_pte(cpu, kernel, *vma.vm_mm, address, walk);
    if (!slot) return std::nullopt;
    pte_lock(cpu, *slot->table);
    const auto found = follow_page_pte(cpu, kernel, vma, slot->ptep, flags, walk);
    pte_unlock(cpu, *slot->table);
    return found;
}

std::optional<UserPage> get_user_page_fast(Cpu& cpu, KernelState& kernel, const Mm& mm,
                                           VirtAddr address) {
    MMUSIM_CHECK(cpu.current && cpu.current->mm == &mm, "the fast walk is over current->mm");
    const InterruptsOff irqs_off(cpu.time());
    const auto slot = find_pte(cpu, kernel, mm, address, Part::kFault);
    if (!slot) return std::nullopt;
    const Word entry = read_pte(cpu, slot->ptep, Part::kFault);
    if (!pte_of(entry).valid() || !pte_of(entry).writable()) return std::nullopt;
    // What can be written to is never the zero page.
    Page& page = *vm_normal_page(kernel, pte_of(entry));
    if (!page.get_unless_zero(cpu)) return std::nullopt;
    if (read_pte(cpu, slot->ptep, Part::kFault).value != entry.value) {
        put_page(cpu, kernel, page);
        return std::nullopt;
    }
    page.set(cpu, PageFlag::kReferenced);
    return user_page(entry);
}

std::optional<UserPage> get_user_page_unlocked(Cpu& cpu, KernelState& kernel, Mm& mm,
                                               VirtAddr address, Access access) {
    FollFlags flags = FollFlags::kTouch | FollFlags::kGet;
    if (access == Access::kWrite) flags = flags | FollFlags::kWrite;
    std::optional<UserPage> page;
    mmap_sem_lock_read(cpu, mm);
    if (const Vma* vma = mm.find_vma(address); vma && check_vma_flags(*vma, access))
        page = follow_or_fault(cpu, kernel, *vma, address, flags);
    mmap_sem_unlock_read(cpu, mm);
    return page;
}

std::optional<UserPage> get_user_page(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address,
                                      Access access) {
    cpu.spend(cpu.costs().get_user_page, Part::kFault);
    if (const auto page = get_user_page_fast(cpu, kernel, mm, address)) return page;
    return get_user_page_unlocked(cpu, kernel, mm, address, access);
}

namespace {

/// The flags of populate_vma_page_range().
FollFlags populate_flags(const Vma& vma) {
    FollFlags flags = FollFlags::kTouch | FollFlags::kMlock;
    if (!vma.has(VmFlags::kLockOnFault)) flags = flags | FollFlags::kPopulate;
    // Private pages are copied now; writing to shared ones would dirty them for nothing.
    if (vma.has(VmFlags::kWrite) && !vma.has(VmFlags::kShared)) flags = flags | FollFlags::kWrite;
    return flags;
}

}  // namespace

bool populate_vma_page_range(Cpu& cpu, KernelState& kernel, const Vma& vma, VirtRange range) {
    const FollFlags flags = populate_flags(vma);
    for (VirtAddr address = range.start; address < range.end; address = address + kPageSize) {
        cpu.spend(cpu.costs().get_user_page, Part::kFault);
        if (!has(flags, FollFlags::kPopulate))
            follow_page(cpu, kernel, vma, address, flags, Part::kFault);
        else if (!follow_or_fault(cpu, kernel, vma, address, flags))
            return false;
    }
    return true;
}

bool mm_populate(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    bool populated = true;
    mmap_sem_lock_read(cpu, mm);
    for (const auto& entry : mm.mmap) {
        const Vma& vma = *entry.second;
        const VirtRange part{std::max(vma.vm_start, range.start), std::min(vma.vm_end, range.end)};
        if (populated && part.start < part.end)
            populated = populate_vma_page_range(cpu, kernel, vma, part);
    }
    mmap_sem_unlock_read(cpu, mm);
    return populated;
}

}  // namespace mmusim::rmap
