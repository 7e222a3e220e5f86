// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <unordered_map>
#include <vector>

#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// The gfp flags that make a difference here.
enum class GfpFlags { kNone, kZero };

/// Order-0 page allocator (mm/page_alloc.c): per node a free list under the zone lock, interrupts
/// off while it is held. The frame freed last is handed out first; frames that were never used
/// follow in ascending order.
/// Does not model: per-CPU lists, watermarks, compound pages.
class PageAllocator {
public:
    explicit PageAllocator(KernelMemory& memory);

    /// pfn_valid(): the frame belongs to a node.
    bool pfn_valid(FrameNumber frame) const;

    /// pfn_to_page(). No time passes; the frame belongs to a node.
    Page& pfn_to_page(FrameNumber frame);

    /// alloc_pages_node(): one reference, no flags; zeroed if asked for (__GFP_ZERO). Falls back to
    /// the following nodes; running out of all memory is an error of the set-up. Time passes:
    /// Part::kAllocate.
    Page& alloc_page(Cpu& cpu, NodeId nid, GfpFlags gfp = GfpFlags::kNone);

    /// The same with __GFP_THISNODE: nullptr if the node has no frame left.
    Page* alloc_page_thisnode(Cpu& cpu, NodeId nid);

    /// free_unref_page(): the caller dropped the last reference. Time passes: Part::kFree.
    void free_unref_page(Cpu& cpu, Page& page);

    /// free_unref_page_list(): the same for a whole list from its head on, which is left empty.
    void free_unref_page_list(Cpu& cpu, PageList& list);

    /// Frames on the free list of a node. For reports and tests.
    std::uint64_t nr_free_pages(NodeId nid) const;

private:
    struct Zone {
        Zone(const MemoryNode& node, PhysAddr word) : memory(node), lock(word) {}

        MemoryNode memory;
        Lock lock;
        std::uint64_t touched = 0;  ///< frames from here on were never handed out
        std::vector<FrameNumber> free;
    };

    Page* rmqueue(Cpu& cpu, NodeId nid);
    Page& prep_new_page(Cpu& cpu, Page& page, GfpFlags gfp);
    void free_pages_prepare(Cpu& cpu, Page& page);
    void free_unref_page_commit(Cpu& cpu, Zone& zone, Page& page);

    KernelMemory& memory_;
    std::deque<Zone> zones_;
    std::unordered_map<FrameNumber, Page> mem_map_;  ///< filled on demand, only looked up
};

}  // namespace mmusim::rmap
