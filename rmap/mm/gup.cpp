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
void touch_page(Cpu& cpu, KernelState& kernel, Page& page, Pte pte, Access access) {
    const bool write = access == Access::kWrite;
    if (write && !pte.dirty() && !page.test(cpu, PageFlag::kDirty)) set_page_dirty(cpu, page);
    kernel.lru.mark_page_accessed(cpu, page);
}

/// follow_page_pte(): nothing if the entry does not allow the access.
std::optional<UserPage> follow_page(Cpu& cpu, KernelState& kernel, const Mm& mm, VirtAddr address,
                                    Access access) {
    const auto slot = find_pte(cpu, kernel, mm, address, Part::kFault);
    if (!slot) return std::nullopt;
    std::optional<UserPage> found;
    pte_lock(cpu, *slot->table);
    const Word entry = read_pte(cpu, slot->ptep, Part::kFault);
    const Pte pte = pte_of(entry);
    if (pte.present() && (access == Access::kRead || pte.writable())) {
        if (Page* page = vm_normal_page(kernel, pte)) {
            get_page(cpu, *page);
            touch_page(cpu, kernel, *page, pte, access);
        }
        found = user_page(entry);
    }
    pte_unlock(cpu, *slot->table);
    return found;
}

}  // namespace

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
    mmap_sem_lock_read(cpu, mm);
    auto page = follow_page(cpu, kernel, mm, address, access);
    while (!page && handle_mm_fault(cpu, kernel, mm, address, access) == FaultResult::kHandled)
        page = follow_page(cpu, kernel, mm, address, access);
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
