// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/shmem.hpp"
#include "rmap/mm/vm_fault.hpp"

namespace mmusim::rmap {

namespace {

/// page_cache_read(): brings a page of the file into the page cache.
void page_cache_read(VmFault& vmf, AddressSpace& mapping, std::uint64_t index) {
    Page& page = vmf.alloc_page();
    lock_page(vmf.cpu, page);
    if (add_to_page_cache_lru(vmf.cpu, vmf.kernel, mapping, page, index)) {
        vmf.cpu.spend(vmf.cpu.costs().file_read, Part::kFault);
        page.set(vmf.cpu, PageFlag::kUptodate);
    }
    unlock_page(vmf.cpu, page);
    put_page(vmf.cpu, vmf.kernel, page);
}

/// filemap_fault(): the page of the file, locked and with a reference; nullptr: behind its end.
Page* filemap_fault(VmFault& vmf) {
    AddressSpace& mapping = *vmf.vma.vm_file;
    const std::uint64_t index = vmf.vma.page_index(vmf.address);
    bool major = false;
    while (index < mapping.i_size(vmf.cpu, Part::kFault)) {
        Page* page = find_get_page(vmf.cpu, vmf.kernel, mapping, index, Part::kFault);
        if (!page) {
            if (!major) vmf.kernel.vm_events.count(vmf.cpu, vmf.mm.memcg, VmEvent::kPgMajFault);
            major = true;
            page_cache_read(vmf, mapping, index);
            continue;
        }
        if (!vmf.lock_page_or_retry(*page)) {
            put_page(vmf.cpu, vmf.kernel, *page);
            return nullptr;
        }
        // Reclaim may have taken it while we waited for the lock, or the file may end before it.
        if (page->mapping(vmf.cpu).raw == mapping.mapping().raw && page->index == index &&
            index < mapping.i_size(vmf.cpu, Part::kFault))
            return page;
        unlock_page(vmf.cpu, *page);
        put_page(vmf.cpu, vmf.kernel, *page);
    }
    return nullptr;
}

/// ext4_filemap_fault()
Page* ext4_filemap_fault(VmFault& vmf) {
    RwLock& i_mmap_sem = vmf.vma.vm_file->i_mmap_sem;
    i_mmap_sem.lock_read(vmf.cpu);
    Page* page = filemap_fault(vmf);
    i_mmap_sem.unlock_read(vmf.cpu);
    return page;
}

/// __do_fault(): vma->vm_ops->fault(). nullptr: the process gets a signal.
Page* do_vm_ops_fault(VmFault& vmf) {
    const bool shmem = vmf.vma.vm_file->kind == FileKind::kShmem;
    Page* page = shmem ? shmem_fault(vmf) : ext4_filemap_fault(vmf);
    if (!page && vmf.result == FaultResult::kHandled) vmf.result = FaultResult::kSigbus;
    return page;
}

/// alloc_set_pte() for a page of the file, which is locked. False: the entry is not empty any more.
bool map_file_page(VmFault& vmf, Page& page) {
    vmf.lock();
    const bool none = pte_of(read_pte(vmf.cpu, vmf.slot.ptep)).none();
    if (none) {
        add_mm_counter_fast(vmf.cpu, vmf.mm, mm_counter(vmf.cpu, page), 1);
        page_add_file_rmap(vmf.cpu, page);
        vmf.set_pte(
            vmf.mk_pte(page.pfn(), vmf.write() ? VmFault::Mkwrite::kYes : VmFault::Mkwrite::kNo),
            page.generation);
    }
    vmf.unlock();
    return none;
}

void do_read_fault(VmFault& vmf) {
    Page* page = do_vm_ops_fault(vmf);
    if (!page) return;
    const bool mapped = map_file_page(vmf, *page);
    unlock_page(vmf.cpu, *page);
    if (!mapped) put_page(vmf.cpu, vmf.kernel, *page);
}

/// do_shared_fault(): the first access to a shared mapping is a write.
void do_shared_fault(VmFault& vmf) {
    Page* page = do_vm_ops_fault(vmf);
    if (!page) return;
    if (vmf.vma.vm_file->account_dirty()) {
        unlock_page(vmf.cpu, *page);
        if (!do_page_mkwrite(vmf, *page)) return put_page(vmf.cpu, vmf.kernel, *page);
    }
    if (map_file_page(vmf, *page)) return fault_dirty_shared_page(vmf, *page);
    unlock_page(vmf.cpu, *page);
    put_page(vmf.cpu, vmf.kernel, *page);
}

/// do_cow_fault(): the first access to a private mapping is a write.
void do_cow_fault(VmFault& vmf) {
    Cpu& cpu = vmf.cpu;
    anon_vma_prepare(cpu, vmf.kernel, vmf.vma);
    Page& copy = vmf.alloc_page();
    Page* page = do_vm_ops_fault(vmf);
    if (!page) return put_page(cpu, vmf.kernel, copy);
    cpu.spend(cpu.costs().copy_page, Part::kCopy);
    copy.set(cpu, PageFlag::kUptodate);
    vmf.lock();
    const bool none = pte_of(read_pte(cpu, vmf.slot.ptep)).none();
    if (none) {
        add_mm_counter_fast(cpu, vmf.mm, MmCounter::kAnonPages, 1);
        page_add_new_anon_rmap(cpu, vmf.kernel, copy, vmf.vma, vmf.address);
        lru_cache_add_active_or_unevictable(cpu, vmf.kernel, copy, vmf.vma);
        vmf.set_pte(vmf.mk_pte(copy.pfn(), VmFault::Mkwrite::kYes), copy.generation);
    }
    vmf.unlock();
    unlock_page(cpu, *page);
    put_page(cpu, vmf.kernel, *page);
    if (!none) put_page(cpu, vmf.kernel, copy);
}

/// ext4_page_mkwrite() with i_mmap_sem held.
bool page_mkwrite(VmFault& vmf, Page& page) {
    lock_page(vmf.cpu, page);
    if (page.mapping(vmf.cpu).raw != vmf.vma.vm_file->mapping().raw) {
        unlock_page(vmf.cpu, page);
        return false;
    }
    set_page_dirty(vmf.cpu, vmf.kernel, page);
    return true;
}

}  // namespace

bool do_page_mkwrite(VmFault& vmf, Page& page) {
    RwLock& i_mmap_sem = vmf.vma.vm_file->i_mmap_sem;
    i_mmap_sem.lock_read(vmf.cpu);
    const bool ours = page_mkwrite(vmf, page);
    i_mmap_sem.unlock_read(vmf.cpu);
    return ours;
}

void fault_dirty_shared_page(VmFault& vmf, Page& page) {
    set_page_dirty(vmf.cpu, vmf.kernel, page);
    unlock_page(vmf.cpu, page);
}

void do_fault(VmFault& vmf) {
    if (!vmf.write()) return do_read_fault(vmf);
    if (!vmf.vma.has(VmFlags::kShared)) return do_cow_fault(vmf);
    do_shared_fault(vmf);
}

}  // namespace mmusim::rmap
