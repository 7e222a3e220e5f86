// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/pageout.hpp"

#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/mm/shmem.hpp"

namespace mmusim::rmap {

namespace {

/// One of the caller who isolated the page, one of the cache.
constexpr std::uint64_t kReclaimReferences = 2;

/// The part of __remove_mapping() under the lock of the cache.
bool remove_mapping_locked(Cpu& cpu, KernelState& kernel, Page& page, AddressSpace& mapping) {
    // The order matters: who sets the dirty bit has a reference, so it is seen here or the count is
    // not as expected.
    if (!page.freeze(cpu, kReclaimReferences)) return false;
    if (page.test(cpu, PageFlag::kDirty)) {
        page.set_refcount(cpu, kReclaimReferences);
        return false;
    }
    if (mapping.kind == FileKind::kSwap) {
        delete_from_swap_cache_locked(cpu, kernel, page);
    } else {
        cpu.memory().store(mapping.slot(page.index), {}, Part::kRemoveMapping);
        page.set_mapping(cpu, {});
    }
    return true;
}

/// mapping->a_ops->writepage().
WritepageResult writepage(Cpu& cpu, KernelState& kernel, const AddressSpace& mapping, Page& page) {
    switch (mapping.kind) {
        case FileKind::kShmem:
            return shmem_writepage(cpu, kernel, page);
        case FileKind::kSwap:
            swap_writepage(cpu, kernel, page);
            break;
        case FileKind::kExt4:
            // Nothing maps it, and its last flush is over.
            seal_page(cpu, page);
            ext4_writepage(cpu, kernel, page);
            break;
    }
    return WritepageResult::kStarted;
}

}  // namespace

Pageout pageout(Cpu& cpu, KernelState& kernel, Page& page) {
    // is_page_cache_freeable()
    if (page.refcount(cpu) != kReclaimReferences) return Pageout::kKeep;
    // An orphan: truncated while somebody still held buffers of it.
    AddressSpace* mapping = page_mapping(cpu, kernel, page);
    if (!mapping) return Pageout::kKeep;
    if (!clear_page_dirty_for_io(cpu, kernel, page)) return Pageout::kClean;
    page.set(cpu, PageFlag::kReclaim);
    if (writepage(cpu, kernel, *mapping, page) == WritepageResult::kActivate) {
        page.clear(cpu, PageFlag::kReclaim);
        return Pageout::kActivate;
    }
    const std::uint64_t flags = page.flags(cpu);
    // A synchronous device has written it by now, and mostly this is done.
    if (!has(flags, PageFlag::kWriteback) && has(flags, PageFlag::kReclaim))
        page.clear(cpu, PageFlag::kReclaim);
    cpu.emit(Event::kVmscanWritepage,
             {page.pfn().value, ReclaimWriteback::of(!has(flags, PageFlag::kSwapBacked))});
    return Pageout::kSuccess;
}

bool remove_mapping(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page) {
    cpu.emit(Event::kRemoveMapping, {page.pfn().value, mapping.mapping().raw});
    const bool swap_cache = mapping.kind == FileKind::kSwap;
    bool removed = false;
    {
        const InterruptsOff irqsave(cpu.time());
        mapping.xa_lock.lock(cpu);
        cpu.spend(cpu.costs().remove_mapping, Part::kRemoveMapping);
        removed = remove_mapping_locked(cpu, kernel, page, mapping);
        mapping.xa_lock.unlock(cpu);
    }
    if (removed && swap_cache) kernel.swap.put_swap_page(cpu, page.swap);
    cpu.emit(Event::kRemoveMappingRet, {removed ? 1u : 0u});
    return removed;
}

}  // namespace mmusim::rmap
