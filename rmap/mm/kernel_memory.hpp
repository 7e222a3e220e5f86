// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/ports/frame_allocator.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::rmap {

using NodeId = unsigned;

/// The memory of one NUMA node that the page allocator hands out.
struct MemoryNode {
    FrameNumber first{};
    std::uint64_t frames = 0;
};

/// Where things are in simulated physical memory. The regions must not overlap; frame 0 is never
/// used, because a page-cache slot of 0 means that it is empty.
struct MemoryLayout {
    FrameNumber reserved_first{1};
    std::uint64_t reserved_frames = 0;  ///< kernel objects, mem_map among them
    std::vector<MemoryNode> nodes;
    unsigned cpus = 1;
    std::uint64_t slab_lines = 1024;  ///< per CPU, for objects made at run time
};

/// The kernel's own memory: mem_map and the lines of its objects, in the reserved region. At set-up
/// one caller takes lines in an order that the configuration fixes; at run time every CPU has a
/// slab of its own, so that an address never depends on the order in which CPUs run on the host.
class KernelMemory final : public FrameAllocator {
public:
    explicit KernelMemory(MemoryLayout layout);

    /// Set-up only.
    PhysAddr allocate_line() override { return allocate_words(kLineSize / 8); }
    /// Set-up only: contiguous words that share no line with anybody else's.
    PhysAddr allocate_words(std::uint64_t count);
    /// Set-up only: a frame of the reserved region, all zero (swapper_pg_dir, the zero page).
    FrameNumber allocate_frame() override;

    /// Any time: a line of the slab of `cpu`. Only code that runs on that CPU may call it.
    PhysAddr allocate_object(CpuId cpu);

    /// Any time: adjacent lines of that slab.
    PhysAddr allocate_objects(CpuId cpu, std::uint64_t lines);
    /// Any time: gives a line back to the slab of `cpu`, whosever it was first. Its words are zero.
    void free_object(CpuId cpu, PhysAddr line);

    /// The struct page of a frame of a node: one line.
    PhysAddr struct_page_line(FrameNumber frame) const;
    NodeId page_to_nid(FrameNumber frame) const;

    const MemoryLayout& layout() const { return layout_; }

    /// Frames that mem_map and the slabs take of the reserved region.
    static std::uint64_t fixed_frames(const MemoryLayout& layout);

private:
    const MemoryLayout layout_;
    PhysAddr mem_map_{};
    PhysAddr slabs_{};
    /// kmem_cache_cpu: what only its CPU touches.
    struct Slab {
        std::uint64_t used = 0;
        std::vector<PhysAddr> free;
    };
    std::vector<Slab> slab_of_cpu_;
    PhysAddr next_line_{};
    FrameNumber frames_end_{};  ///< whole frames are taken from the top downwards
};

}  // namespace mmusim::rmap
