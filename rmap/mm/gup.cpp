// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/gup.hpp"

#include "rmap/mm/fault.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

UserPage user_page(Word entry) {
    const Pte pte = pte_of(entry);
    return {pte.frame(), entry.generation, pte.writable()};
}

/// FOLL_TOUCH. SetPageDirty is tested first, because most pages are dirty already.
void touch_page(Cpu& cpu, KernelState& kernel, Page& page, Pte pte, FollFlags flags) {
    const bool write = has(flags, FollFlags::kWrite);
    if (write && !pte.dirty() && !page.test(cpu, PageFlag::kDirty)) set_page_dirty(cpu, page);
    kernel.lru.mark_page_accessed(cpu, page);
}

/// follow_page_pte(), with the page-table lock held.
std::optional<UserPage> follow_page_pte(Cpu& cpu, KernelState& kernel, PhysAddr ptep,
                                        FollFlags flags, Part walk) {
    const Word entry = read_pte(cpu, ptep, walk);
    const Pte pte = pte_of(entry);
    if (!pte.present()) return std::nullopt;
    if (has(flags, FollFlags::kWrite) && !pte.writable()) return std::nullopt;
    Page* page = vm_normal_page(kernel, pte);
    if (!page && has(flags, FollFlags::kDump)) return std::nullopt;
    if (page) get_page(cpu, *page);
    if (page && has(flags, FollFlags::kTouch)) touch_page(cpu, kernel, *page, pte, flags);
    return user_page(entry);
}

}  // namespace

std::optional<UserPage> follow_page(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                    FollFlags flags, Part walk) {
    const auto slot = find_pte(cpu, kernel, mm, address, walk);
    if (!slot) return std::nullopt;
    pte_lock(cpu, *slot->table);
    const auto found = follow_page_pte(cpu, kernel, slot->ptep, flags, walk);
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
    if (!pte_of(entry).present() || !pte_of(entry).writable()) return std::nullopt;
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
    const bool write = access == Access::kWrite;
    const FollFlags flags = FollFlags::kTouch | (write ? FollFlags::kWrite : FollFlags::kNone);
    mmap_sem_lock_read(cpu, mm);
    auto page = follow_page(cpu, kernel, mm, address, flags, Part::kFault);
    while (!page && handle_mm_fault(cpu, kernel, mm, address, access) == FaultResult::kHandled)
        page = follow_page(cpu, kernel, mm, address, flags, Part::kFault);
    mmap_sem_unlock_read(cpu, mm);
    return page;
}

std::optional<UserPage> get_user_page(Cpu& cpu, KernelState& kernel, Mm& mm, VirtAddr address,
                                      Access access) {
    cpu.spend(cpu.costs().get_user_page, Part::kFault);
    if (const auto page = get_user_page_fast(cpu, kernel, mm, address)) return page;
    return get_user_page_unlocked(cpu, kernel, mm, address, access);
}

}  // namespace mmusim::rmap
