// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/mempolicy.hpp"

#include <algorithm>
#include <optional>

#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/vma_adjust.hpp"

namespace mmusim::rmap {

namespace {

constexpr NodeMask mask_of(NodeId node) { return NodeMask{1} << node; }
constexpr bool node_isset(NodeId node, NodeMask mask) { return mask >> node & 1; }
constexpr unsigned kMaxNodes = 64;

unsigned nodes_weight(NodeMask mask) {
    unsigned weight = 0;
    for (; mask; mask &= mask - 1) ++weight;
    return weight;
}

/// bitmap_ord_to_pos(): the n-th node of a mask.
NodeId nth_node(NodeMask mask, unsigned n) {
    NodeId node = 0;
    for (;; ++node)
        if (node_isset(node, mask) && n-- == 0) return node;
}

/// Which pages are asked for: those on `nodes`, or those that are not (MPOL_MF_INVERT).
enum class Invert { kNo, kYes };
/// MPOL_MF_DISCONTIG_OK: whether there may be holes between the VMAs.
enum class DiscontigOk { kNo, kYes };

/// struct queue_pages, and what of queue_pages_range() is done per page and per table.
class QueuePages {
public:
    QueuePages(Cpu& cpu, KernelState& kernel, NodeMask nodes, Invert invert, MoveShared shared,
               PageList& pages)
        : cpu_(cpu),
          kernel_(kernel),
          nodes_(nodes),
          invert_(invert),
          shared_(shared),
          pages_(pages) {}

    /// queue_pages_range(): isolates pages. mmap_sem held. kFault: queue_pages_test_walk() has come
    /// to a hole; the pages before it are isolated all the same.
    Errno range(const Mm& mm, VirtRange range, DiscontigOk discontig_ok) {
        const Vma* prev = nullptr;
        const Vma* vma = mm.find_vma_ending_after(range.start);
        for (; vma && vma->vm_start < range.end; vma = mm.next(*vma)) {
            if (discontig_ok == DiscontigOk::kNo && has_hole(mm, prev, *vma, range.end))
                return Errno::kFault;
            prev = vma;
            walk(*vma, {std::max(vma->vm_start, range.start), std::min(vma->vm_end, range.end)});
        }
        return Errno::kNone;
    }

private:
    /// v5.0 does not see one at the beginning of the range, nor at its end if there are VMAs
    /// behind.
    static bool has_hole(const Mm& mm, const Vma* prev, const Vma& vma, VirtAddr end) {
        if (!mm.next(vma) && vma.vm_end < end) return true;
        return prev && prev->vm_end < vma.vm_start;
    }

    /// walk_page_range() within one VMA.
    void walk(const Vma& vma, VirtRange range) {
        for (VirtAddr address = range.start; address < range.end;) {
            const VirtAddr next = pmd_addr_end(address, range.end);
            if (const auto slot = find_pte(cpu_, kernel_, *vma.vm_mm, address, Part::kRmapWalk))
                queue_pages_pte_range({address, next}, *slot);
            address = next;
        }
    }

    /// One page table.
    void queue_pages_pte_range(VirtRange range, const PteSlot& first) {
        pte_lock(cpu_, *first.table);
        PhysAddr ptep = first.ptep;
        for (VirtAddr address = range.start; address < range.end; address = address + kPageSize) {
            const Pte pte = pte_of(read_pte(cpu_, ptep));
            Page* page = pte.present() ? vm_normal_page(kernel_, pte) : nullptr;
            if (page && queue_pages_required(*page)) migrate_page_add(*page);
            ptep = ptep + 8;
        }
        pte_unlock(cpu_, *first.table);
    }

    bool queue_pages_required(const Page& page) const {
        return node_isset(page.nid(), nodes_) != (invert_ == Invert::kYes);
    }

    /// Others may need a page where it is.
    void migrate_page_add(Page& page) {
        if (shared_ == MoveShared::kNo && page.mapcount(cpu_) != 1) return;
        if (kernel_.lru.isolate_lru_page(cpu_, page)) pages_.add_tail(page);
    }

    Cpu& cpu_;
    KernelState& kernel_;
    const NodeMask nodes_;
    const Invert invert_;
    const MoveShared shared_;
    PageList& pages_;
};

/// migrate_to_node(). Returns how many pages could not be moved, or -ENOMEM.
std::int64_t migrate_to_node(Cpu& cpu, KernelState& kernel, const Mm& mm, NodeId source,
                             NodeId dest, MoveShared shared, std::uint64_t& moved) {
    PageList pages;
    QueuePages(cpu, kernel, mask_of(source), Invert::kNo, shared, pages)
        .range(mm, kAllAddresses, DiscontigOk::kYes);
    if (pages.empty()) return 0;
    const std::uint64_t queued = pages.size();
    const std::int64_t err = migrate_pages(cpu, kernel, pages, dest, MigrateReason::kSyscall);
    moved += queued - pages.size();
    putback_movable_pages(cpu, kernel, pages);
    return err;
}

/// do_migrate_pages(): node by node, such that no page is moved twice: a node that pages leave for
/// comes, if possible, after it was itself emptied.
std::int64_t do_migrate_pages(Cpu& cpu, KernelState& kernel, Mm& mm, NodeMask from, NodeMask to,
                              MoveShared shared, std::uint64_t& moved) {
    std::int64_t busy = 0;
    std::int64_t err = 0;
    cpu.emit(Event::kDoMigratePages, {mm.context.id, from, to});
    migrate_prep(cpu, kernel);
    mmap_sem_lock_read(cpu, mm);
    for (NodeMask left = from; left && err >= 0;) {
        std::optional<NodeId> source;
        NodeId dest = 0;
        for (NodeId s = 0; s < kMaxNodes; ++s) {
            if (!node_isset(s, left)) continue;
            // Masks of one size map node to node; otherwise what is in both stays where it is.
            if (nodes_weight(from) != nodes_weight(to) && node_isset(s, to)) continue;
            const NodeId d = node_remap(s, from, to);
            if (s == d) continue;
            source = s;
            dest = d;
            if (!node_isset(dest, left)) break;
        }
        if (!source) break;
        left &= ~mask_of(*source);
        err = migrate_to_node(cpu, kernel, mm, *source, dest, shared, moved);
        if (err > 0) busy += err;
    }
    mmap_sem_unlock_read(cpu, mm);
    return err < 0 ? err : busy;
}

/// mbind_range(): VMAs end where the range does. mmap_sem held for writing. kFault: the range
/// begins with a hole.
Errno mbind_range(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range) {
    Vma* vma = mm.find_vma(range.start);
    if (!vma) return Errno::kFault;
    if (vma->vm_start < range.start) split_vma(cpu, kernel, *vma, range.start, NewPart::kBelow);
    vma = mm.find_vma_before(range.end);
    if (vma->vm_end > range.end) split_vma(cpu, kernel, *vma, range.end, NewPart::kAbove);
    return Errno::kNone;
}

/// do_mbind() from taking to dropping mmap_sem.
RangeResult do_mbind(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, NodeId nid,
                     MoveShared shared) {
    RangeResult result;
    PageList pages;
    cpu.emit(Event::kDoMbind, {mm.context.id, range.start.value, range.end.value});
    migrate_prep(cpu, kernel);
    mmap_sem_lock_write(cpu, mm);
    result.error = QueuePages(cpu, kernel, mask_of(nid), Invert::kYes, shared, pages)
                       .range(mm, range, DiscontigOk::kNo);
    if (result.error == Errno::kNone) result.error = mbind_range(cpu, kernel, mm, range);
    if (result.error == Errno::kNone) {
        const std::uint64_t queued = pages.size();
        if (queued) migrate_pages(cpu, kernel, pages, nid, MigrateReason::kMempolicyMbind);
        result.pages = queued - pages.size();
    }
    putback_movable_pages(cpu, kernel, pages);
    mmap_sem_unlock_write(cpu, mm);
    return result;
}

}  // namespace

NodeId node_remap(NodeId node, NodeMask from, NodeMask to) {
    if (!node_isset(node, from) || !to) return node;
    return nth_node(to, nodes_weight(from & (mask_of(node) - 1)) % nodes_weight(to));
}

std::int64_t migrate_pages_call(Cpu& cpu, KernelState& kernel, Mm& mm, NodeMask from, NodeMask to,
                                MoveShared shared) {
    Syscall call(cpu, OperationKind::kMovePages, mm.total_vm);
    std::uint64_t moved = 0;
    const std::int64_t result = do_migrate_pages(cpu, kernel, mm, from, to, shared, moved);
    call.exit(moved);
    return result;
}

RangeResult mbind(Cpu& cpu, KernelState& kernel, Mm& mm, VirtRange range, NodeId nid,
                  MoveShared shared) {
    Syscall call(cpu, OperationKind::kMovePages, range.pages());
    const RangeResult result = do_mbind(cpu, kernel, mm, range, nid, shared);
    call.exit(result.pages);
    return result;
}

}  // namespace mmusim::rmap
