// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mlock_page.hpp"
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/mmu_notifier.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/vm_fault.hpp"
#include "rmap/unmap/ptep_flush.hpp"

namespace mmusim::rmap {

namespace {

/// wp_page_reuse(): the page stays and becomes writable. No flush: a CPU that has the old entry
/// cached faults once more, and then finds that it was spurious.
void wp_page_reuse(VmFault& vmf) {
    const std::uint64_t bits = Pte::kAccessed | Pte::kDirty | Pte::kWritable;
    vmf.emit_set_access_flags(pte_of(vmf.orig_pte).with(bits));
    const Word old = pte_set_bits(vmf.cpu, vmf.slot.ptep, bits);
    const Pte pte = pte_of(old).with(bits);
    vmf.cpu.emit(Event::kPteSet, {vmf.mm.context.id, vmf.address.value, vmf.slot.ptep.value,
                                  pte.raw(), pte.frame().value, old.generation});
}

/// The locked part of wp_page_copy(): the entry still maps the old page.
void replace_page(VmFault& vmf, Page* old_page, Page& new_page) {
    Cpu& cpu = vmf.cpu;
    if (!old_page) {
        add_mm_counter_fast(cpu, vmf.mm, MmCounter::kAnonPages, 1);
    } else if (!page_is_anon(cpu, *old_page)) {
        add_mm_counter_fast(cpu, vmf.mm, mm_counter(cpu, *old_page), -1);
        add_mm_counter_fast(cpu, vmf.mm, MmCounter::kAnonPages, 1);
    }
    // Cleared and flushed first: no thread may see the new page while another still reads the old.
    ptep_clear_flush_notify(cpu, vmf.kernel, vmf.vma, vmf.address, vmf.slot.ptep);
    page_add_new_anon_rmap(cpu, vmf.kernel, new_page, vmf.vma, vmf.address);
    lru_cache_add_active_or_unevictable(cpu, vmf.kernel, new_page, vmf.vma);
    vmf.set_pte_notify(vmf.mk_pte(new_page.pfn(), VmFault::Mkwrite::kYes), new_page.generation);
    // Only now: whoever finds the old page unmapped may write to it, and nobody may see that here.
    if (old_page) page_remove_rmap(cpu, vmf.kernel, *old_page);
}

/// Whoever shares the old page may not have locked it.
void munlock_replaced(Cpu& cpu, KernelState& kernel, Page& old_page) {
    lock_page(cpu, old_page);
    if (old_page.test(cpu, PageFlag::kMlocked)) munlock_vma_page(cpu, kernel, old_page);
    unlock_page(cpu, old_page);
}

/// wp_page_copy(). The caller has a reference to the old page (nullptr: the zero page), and no
/// lock.
void wp_page_copy(VmFault& vmf, Page* old_page) {
    Cpu& cpu = vmf.cpu;
    cpu.emit(Event::kWpPageCopy, {vmf.mm.context.id, vmf.address.value});
    anon_vma_prepare(cpu, vmf.kernel, vmf.vma);
    Page* new_page = &vmf.alloc_page(old_page ? GfpFlags::kNone : GfpFlags::kZero);
    if (old_page) cpu.spend(cpu.costs().copy_page, Part::kCopy);
    new_page->set(cpu, PageFlag::kUptodate);

    const NotifierRange range{vmf.mm.context.id, page_range(vmf.address), true};
    mmu_notifier_invalidate_range_start(cpu, vmf.kernel, range);
    vmf.lock();
    const bool same = vmf.pte_same();
    if (same) {
        replace_page(vmf, old_page, *new_page);
        new_page = old_page;  // the mapping's reference
    }
    if (new_page) put_page(cpu, vmf.kernel, *new_page);
    vmf.unlock();
    mmu_notifier_invalidate_range_only_end(cpu, vmf.kernel, range);
    if (!old_page) return;
    if (same && vmf.vma.has(VmFlags::kLocked)) munlock_replaced(cpu, vmf.kernel, *old_page);
    put_page(cpu, vmf.kernel, *old_page);
}

/// Whether a private anonymous page may be written in place; the page-table lock is held on entry
/// and on return, but may have been dropped between.
enum class Reuse { kYes, kNo, kChanged };
Reuse may_reuse(VmFault& vmf, Page& page) {
    Cpu& cpu = vmf.cpu;
    if (!trylock_page(cpu, page)) {
        get_page(cpu, page);
        vmf.unlock();
        lock_page(cpu, page);
        vmf.lock();
        const bool same = vmf.pte_same();
        if (!same) unlock_page(cpu, page);
        put_page(cpu, vmf.kernel, page);
        if (!same) return Reuse::kChanged;
    }
    const bool alone = reuse_swap_page(cpu, vmf.kernel, page);
    if (alone) page_move_anon_rmap(cpu, vmf.kernel, page, vmf.vma);
    unlock_page(cpu, page);
    return alone ? Reuse::kYes : Reuse::kNo;
}

/// finish_mkwrite_fault(): the file knows of the write. False: the entry changed meanwhile.
bool finish_mkwrite_fault(VmFault& vmf) {
    vmf.lock();
    const bool same = vmf.pte_same();
    if (same) wp_page_reuse(vmf);
    vmf.unlock();
    return same;
}

/// The part of wp_page_shared() that makes the entry writable; the page-table lock is dropped.
/// True: done, and the page is locked.
bool make_shared_writable(VmFault& vmf, Page& page) {
    if (!vmf.vma.vm_file->account_dirty()) {
        wp_page_reuse(vmf);
        vmf.unlock();
        lock_page(vmf.cpu, page);
        return true;
    }
    vmf.unlock();
    if (!do_page_mkwrite(vmf, page)) return false;
    if (finish_mkwrite_fault(vmf)) return true;
    unlock_page(vmf.cpu, page);
    return false;
}

/// wp_page_shared(): a write to a read-only entry of a shared mapping. The pages of a file are, as
/// long as they are clean.
void wp_page_shared(VmFault& vmf, Page& page) {
    get_page(vmf.cpu, page);
    if (make_shared_writable(vmf, page)) fault_dirty_shared_page(vmf, page);
    put_page(vmf.cpu, vmf.kernel, page);
}

}  // namespace

void do_wp_page(VmFault& vmf) {
    Page* page = vm_normal_page(vmf.kernel, pte_of(vmf.orig_pte));
    if (page && page_is_anon(vmf.cpu, *page)) {
        switch (may_reuse(vmf, *page)) {
            case Reuse::kYes:
                wp_page_reuse(vmf);
                return vmf.unlock();
            case Reuse::kChanged:
                return vmf.unlock();
            case Reuse::kNo:
                break;
        }
    } else if (page && vmf.vma.has(VmFlags::kShared | VmFlags::kWrite)) {
        return wp_page_shared(vmf, *page);
    }
    if (page) get_page(vmf.cpu, *page);
    vmf.unlock();
    wp_page_copy(vmf, page);
}

}  // namespace mmusim::rmap
