// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/pagevec.hpp"

#include <algorithm>

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

namespace {

/// What becomes of one page of a pagevec; the lru_lock of its node is held.
using MoveFn = void (*)(Cpu&, KernelState&, Page&);

void pagevec_lru_add_fn(Cpu& cpu, KernelState& kernel, Page& page) {
    kernel.lru.pagevec_lru_add_fn(cpu, page);
}

bool on_evictable_list(std::uint64_t flags) {
    return has(flags, PageFlag::kLru) && !has(flags, PageFlag::kUnevictable);
}

/// The condition of activate_page(), which its pagevec asks for again.
bool may_activate(std::uint64_t flags) {
    return on_evictable_list(flags) && !has(flags, PageFlag::kActive);
}

/// The condition of mark_page_lazyfree() and lru_lazyfree_fn(), for a page that is anonymous.
bool may_become_lazyfree(std::uint64_t flags) {
    return on_evictable_list(flags) && has(flags, PageFlag::kSwapBacked) &&
           !has(flags, PageFlag::kSwapCache);
}

/// __activate_page()
void activate_page_fn(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!may_activate(page.flags(cpu, Part::kLru))) return;
    kernel.lru.del_page_from_lru_list(cpu, page);
    page.set(cpu, PageFlag::kActive, Part::kLru);
    kernel.lru.add_page_to_lru_list(cpu, page);
    kernel.vm_events.count(cpu, page.memcg, VmEvent::kPgActivate);
}

void pagevec_move_tail_fn(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!on_evictable_list(page.flags(cpu, Part::kLru))) return;
    kernel.lru.del_page_from_lru_list(cpu, page);
    page.clear(cpu, PageFlag::kActive, Part::kLru);
    kernel.lru.add_page_to_lru_list_tail(cpu, page);
}

void lru_lazyfree_fn(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!page_is_anon(cpu, page) || !may_become_lazyfree(page.flags(cpu, Part::kLru))) return;
    kernel.lru.del_page_from_lru_list(cpu, page);
    page.clear(cpu, PageFlag::kActive, Part::kLru);
    page.clear(cpu, PageFlag::kReferenced, Part::kLru);
    page.clear(cpu, PageFlag::kSwapBacked, Part::kLru);
    kernel.lru.add_page_to_lru_list(cpu, page);
    kernel.vm_events.count(cpu, page.memcg, VmEvent::kPgLazyFree);
}

/// pagevec_lru_move_fn(): the lru_lock is kept from page to page of one node.
void pagevec_lru_move_fn(Cpu& cpu, KernelState& kernel, Pagevec& pvec, MoveFn move_fn) {
    if (pvec.pages.empty()) return;
    {
        const InterruptsOff irqsave(cpu.time());
        Lock* locked = nullptr;
        for (Page* page : pvec.pages) {
            Lock& lru_lock = kernel.lru.lru_lock(page->nid());
            if (locked != &lru_lock) {
                if (locked) locked->unlock(cpu);
                lru_lock.lock(cpu);
                locked = &lru_lock;
            }
            move_fn(cpu, kernel, *page);
        }
        locked->unlock(cpu);
    }
    release_pages(cpu, kernel, pvec.pages);
    pvec.pages.clear();
}

/// pagevec_add() to one of this CPU's, and what happens when it is full.
void add(Cpu& cpu, KernelState& kernel, Pagevec LruPagevecs::*which, Page& page, MoveFn move_fn) {
    get_page(cpu, page);
    LruPagevecs& pvecs = kernel.lru_pvecs[cpu.id()];
    pvecs.lock.lock(cpu);
    Pagevec& pvec = pvecs.*which;
    pvec.pages.push_back(&page);
    if (pvec.full()) pagevec_lru_move_fn(cpu, kernel, pvec, move_fn);
    pvecs.lock.unlock(cpu);
}

/// __lru_cache_activate_page(): what is still on its way to a list is active when it gets there,
/// provided that this CPU has it.
void lru_cache_activate_page(Cpu& cpu, KernelState& kernel, Page& page) {
    LruPagevecs& pvecs = kernel.lru_pvecs[cpu.id()];
    pvecs.lock.lock(cpu);
    const auto& pages = pvecs.lru_add.pages;
    if (std::find(pages.begin(), pages.end(), &page) != pages.end())
        page.set(cpu, PageFlag::kActive, Part::kLru);
    pvecs.lock.unlock(cpu);
}

bool holds_pages(const LruPagevecs& pvecs) {
    return !pvecs.lru_add.pages.empty() || !pvecs.lru_rotate.pages.empty() ||
           !pvecs.lru_lazyfree.pages.empty() || !pvecs.activate_page.pages.empty();
}

}  // namespace

void lru_cache_add(Cpu& cpu, KernelState& kernel, Page& page) {
    add(cpu, kernel, &LruPagevecs::lru_add, page, pagevec_lru_add_fn);
}

void lru_cache_add_active_or_unevictable(Cpu& cpu, KernelState& kernel, Page& page,
                                         const Vma& vma) {
    page.set(cpu, vma.has(VmFlags::kLocked) ? PageFlag::kMlocked : PageFlag::kActive);
    lru_cache_add(cpu, kernel, page);
}

void activate_page(Cpu& cpu, KernelState& kernel, Page& page) {
    if (may_activate(page.flags(cpu, Part::kLru)))
        add(cpu, kernel, &LruPagevecs::activate_page, page, activate_page_fn);
}

void mark_page_accessed(Cpu& cpu, KernelState& kernel, Page& page) {
    const std::uint64_t flags = page.flags(cpu, Part::kLru);
    if (!has(flags, PageFlag::kReferenced)) {
        page.set(cpu, PageFlag::kReferenced, Part::kLru);
    } else if (!has(flags, PageFlag::kActive) && !has(flags, PageFlag::kUnevictable)) {
        if (has(flags, PageFlag::kLru))
            activate_page(cpu, kernel, page);
        else
            lru_cache_activate_page(cpu, kernel, page);
        page.clear(cpu, PageFlag::kReferenced, Part::kLru);
    }
    if (has(flags, PageFlag::kIdle)) page.clear(cpu, PageFlag::kIdle, Part::kLru);
}

void mark_page_lazyfree(Cpu& cpu, KernelState& kernel, Page& page) {
    if (page_is_anon(cpu, page) && may_become_lazyfree(page.flags(cpu, Part::kLru)))
        add(cpu, kernel, &LruPagevecs::lru_lazyfree, page, lru_lazyfree_fn);
}

void rotate_reclaimable_page(Cpu& cpu, KernelState& kernel, Page& page) {
    if (page_locked(cpu, page)) return;
    const std::uint64_t flags = page.flags(cpu, Part::kLru);
    if (!has(flags, PageFlag::kDirty) && on_evictable_list(flags))
        add(cpu, kernel, &LruPagevecs::lru_rotate, page, pagevec_move_tail_fn);
}

void putback_lru_page(Cpu& cpu, KernelState& kernel, Page& page) {
    lru_cache_add(cpu, kernel, page);
    put_page(cpu, kernel, page);
}

void lru_add_drain(Cpu& cpu, KernelState& kernel) { lru_add_drain_cpu(cpu, kernel, cpu.id()); }

void lru_add_drain_cpu(Cpu& cpu, KernelState& kernel, CpuId whose) {
    LruPagevecs& pvecs = kernel.lru_pvecs[whose];
    pvecs.lock.lock(cpu);
    if (whose != cpu.id() && holds_pages(pvecs)) cpu.spend(cpu.costs().work_on_cpu, Part::kLru);
    pagevec_lru_move_fn(cpu, kernel, pvecs.lru_add, pagevec_lru_add_fn);
    pagevec_lru_move_fn(cpu, kernel, pvecs.lru_rotate, pagevec_move_tail_fn);
    pagevec_lru_move_fn(cpu, kernel, pvecs.lru_lazyfree, lru_lazyfree_fn);
    pagevec_lru_move_fn(cpu, kernel, pvecs.activate_page, activate_page_fn);
    pvecs.lock.unlock(cpu);
}

void lru_add_drain_all(Cpu& cpu, KernelState& kernel) {
    for (CpuId id = 0; id < kernel.lru_pvecs.size(); ++id) lru_add_drain_cpu(cpu, kernel, id);
}

void pagevec_lru_add(Cpu& cpu, KernelState& kernel, Pagevec& pvec) {
    pagevec_lru_move_fn(cpu, kernel, pvec, pagevec_lru_add_fn);
}

void pagevec_release(Cpu& cpu, KernelState& kernel, Pagevec& pvec) {
    if (pvec.pages.empty()) return;
    if (!pvec.percpu_pvec_drained) {
        lru_add_drain(cpu, kernel);
        pvec.percpu_pvec_drained = true;
    }
    release_pages(cpu, kernel, pvec.pages);
    pvec.pages.clear();
}

}  // namespace mmusim::rmap
