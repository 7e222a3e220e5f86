// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/time.hpp"

namespace mmusim::rmap {

/// What the kernel's own instructions cost, apart from the cache lines they touch (those are paid
/// to the memory) and the invalidation instructions (paid to the MMU). Every field is a key of the
/// platform's [kernel] section with its own provenance; visit() is the only list of them.
struct KernelCosts {
    Duration syscall_entry;        ///< SYSCALL, register save, argument checks
    Duration syscall_exit;         ///< return to user mode
    Duration fault_entry;          ///< #PF exception and entry code
    Duration fault_handle;         ///< VMA lookup and handle_mm_fault's own work
    Duration fault_exit;           ///< IRET
    Duration interrupt_entry;      ///< vector, register save, irq_enter
    Duration interrupt_exit;       ///< EOI, irq_exit, IRET
    Duration rmap_walk_start;      ///< rmap_walk: dispatch, tree root
    Duration rmap_walk_vma;        ///< per VMA visited: tree step, vma_address
    Duration page_walk_level;      ///< page_vma_mapped_walk: per level, without the load
    Duration try_to_unmap_one;     ///< branches and bookkeeping of one mapping
    Duration page_referenced_one;  ///< likewise for aging
    Duration flush_setup;          ///< flush_tlb_mm_range up to the first invalidation
    Duration flush_function;       ///< flush_tlb_func_common without its invalidations
    Duration call_function_queue;  ///< smp_call_function_many: per target, without the lines
    Duration lazy_check;           ///< tlb_is_not_lazy: per CPU, without the line
    Duration notifier_call;        ///< one callback of one client: SRCU section and dispatch
    Duration synchronize_srcu;     ///< a grace period of the notifiers: at least this long
    Duration get_user_page;        ///< get_user_pages of one page that is mapped, without its lines
    Duration kvm_exit_handle;  ///< handle_exit and vcpu_run per VM exit, besides the exit itself
    Duration kvm_fault;        ///< tdp_page_fault without its lock, lines and host page
    Duration kvm_unmap_page;   ///< per page of a range: memslot, rmap head, without the entry
    Duration kvm_request;      ///< kvm_make_all_cpus_request: per vCPU, without the lines
    Duration qi_descriptor;    ///< building one invalidation descriptor, without its line
    Duration lock_handover;    ///< from a release to the next owner going on; at least C
    Duration lru_isolate;      ///< per page taken from a list
    Duration lru_putback;      ///< per page put back
    Duration work_on_cpu;      ///< having a worker of another CPU do something, without the work
    Duration swap_allocate;    ///< get_swap_page and add_to_swap_cache
    Duration swap_duplicate;   ///< raising a slot's map count
    Duration swap_write;       ///< device: write one page, synchronous (zram)
    Duration swap_read;        ///< device: read one page, synchronous (zram)
    Duration submit_bio;       ///< handing one page to a disk
    Duration disk_write;       ///< disk: from then on until the page is written
    Duration file_read;        ///< disk: read one page, of a file or of swap
    Duration remove_mapping;   ///< __remove_mapping without its lines
    Duration copy_page;        ///< 4 KiB to another frame
    Duration clear_page;       ///< 4 KiB of zeroes
    Duration page_allocate;    ///< per frame
    Duration page_free;        ///< per frame
    Duration page_table_free;  ///< per table page

    template <class Visitor, class Self>
    static void visit(Visitor&& v, Self& c) {
        v("syscall_entry", c.syscall_entry, "system call entry");
        v("syscall_exit", c.syscall_exit, "system call exit");
        v("fault_entry", c.fault_entry, "page-fault exception entry");
        v("fault_handle", c.fault_handle, "VMA lookup and handle_mm_fault");
        v("fault_exit", c.fault_exit, "return from the page fault");
        v("interrupt_entry", c.interrupt_entry, "interrupt entry up to the handler");
        v("interrupt_exit", c.interrupt_exit, "EOI and return from the interrupt");
        v("rmap_walk_start", c.rmap_walk_start, "start of one rmap walk");
        v("rmap_walk_vma", c.rmap_walk_vma, "per VMA that an rmap walk visits");
        v("page_walk_level", c.page_walk_level, "software page-table walk, per level");
        v("try_to_unmap_one", c.try_to_unmap_one, "try_to_unmap_one, per mapping");
        v("page_referenced_one", c.page_referenced_one, "page_referenced_one, per mapping");
        v("flush_setup", c.flush_setup, "flush_tlb_mm_range before the first invalidation");
        v("flush_function", c.flush_function, "flush_tlb_func_common without invalidations");
        v("call_function_queue", c.call_function_queue, "queueing a call, per target");
        v("lazy_check", c.lazy_check, "tlb_is_not_lazy, per CPU");
        v("notifier_call", c.notifier_call, "dispatching one notifier callback");
        v("synchronize_srcu", c.synchronize_srcu, "grace period of the notifiers");
        v("get_user_page", c.get_user_page, "get_user_pages of one mapped page");
        v("kvm_exit_handle", c.kvm_exit_handle, "KVM's work per VM exit besides the exit itself");
        v("kvm_fault", c.kvm_fault, "tdp_page_fault without lock and host page");
        v("kvm_unmap_page", c.kvm_unmap_page, "kvm_unmap_hva_range, per page");
        v("kvm_request", c.kvm_request, "kvm_make_all_cpus_request, per vCPU");
        v("qi_descriptor", c.qi_descriptor, "building one invalidation descriptor");
        v("lock_handover", c.lock_handover, "from a release to the next owner");
        v("lru_isolate", c.lru_isolate, "taking a page from an LRU list");
        v("lru_putback", c.lru_putback, "putting a page back on an LRU list");
        v("work_on_cpu", c.work_on_cpu, "having a worker of another CPU do something");
        v("swap_allocate", c.swap_allocate, "allocating a swap slot and entering the swap cache");
        v("swap_duplicate", c.swap_duplicate, "raising the map count of a swap slot");
        v("swap_write", c.swap_write, "writing a page to swap, synchronously");
        v("swap_read", c.swap_read, "reading a page from swap");
        v("submit_bio", c.submit_bio, "submitting the write of a page to a disk");
        v("disk_write", c.disk_write, "from the submission until a disk has written the page");
        v("file_read", c.file_read, "reading a page from a disk");
        v("remove_mapping", c.remove_mapping, "__remove_mapping without its cache lines");
        v("copy_page", c.copy_page, "copying 4 KiB");
        v("clear_page", c.clear_page, "zeroing 4 KiB");
        v("page_allocate", c.page_allocate, "allocating a frame");
        v("page_free", c.page_free, "freeing a frame");
        v("page_table_free", c.page_table_free, "freeing a page-table page");
    }
};

}  // namespace mmusim::rmap
