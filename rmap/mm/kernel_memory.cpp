// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/kernel_memory.hpp"

#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

std::uint64_t frames_of(std::uint64_t bytes) { return (bytes + kPageSize - 1) >> kPageShift; }

std::uint64_t mem_map_frames(const MemoryLayout& layout) {
    std::uint64_t frames = 0;
    for (const auto& node : layout.nodes) frames += node.frames;
    return frames_of(frames * kLineSize);
}

std::uint64_t slab_frames(const MemoryLayout& layout) {
    return frames_of(layout.cpus * layout.slab_lines * kLineSize);
}

}  // namespace

std::uint64_t KernelMemory::fixed_frames(const MemoryLayout& layout) {
    return mem_map_frames(layout) + slab_frames(layout);
}

KernelMemory::KernelMemory(MemoryLayout layout)
    : layout_(std::move(layout)), slab_of_cpu_(layout_.cpus) {
    MMUSIM_CHECK(layout_.reserved_first.value > 0, "frame 0 is never used");
    MMUSIM_CHECK(fixed_frames(layout_) < layout_.reserved_frames,
                 "mem_map and the slabs must fit into the reserved region");
    mem_map_ = address_of(layout_.reserved_first);
    slabs_ = mem_map_ + (mem_map_frames(layout_) << kPageShift);
    next_line_ = slabs_ + (slab_frames(layout_) << kPageShift);
    frames_end_ = layout_.reserved_first + layout_.reserved_frames;
}

PhysAddr KernelMemory::allocate_words(std::uint64_t count) {
    const PhysAddr first = next_line_;
    const std::uint64_t bytes = (count * 8 + kLineSize - 1) & ~(kLineSize - 1);
    next_line_ = next_line_ + bytes;
    MMUSIM_CHECK(next_line_ <= address_of(frames_end_), "the reserved region is full");
    return first;
}

FrameNumber KernelMemory::allocate_frame() {
    frames_end_ = {frames_end_.value - 1};
    MMUSIM_CHECK(next_line_ <= address_of(frames_end_), "the reserved region is full");
    return frames_end_;
}

PhysAddr KernelMemory::allocate_object(CpuId cpu) {
    Slab& slab = slab_of_cpu_.at(cpu);
    if (!slab.free.empty()) {
        const PhysAddr line = slab.free.back();
        slab.free.pop_back();
        return line;
    }
    return allocate_objects(cpu, 1);
}

PhysAddr KernelMemory::allocate_objects(CpuId cpu, std::uint64_t lines) {
    std::uint64_t& used = slab_of_cpu_.at(cpu).used;
    const std::uint64_t first = used;
    used += lines;
    MMUSIM_CHECK(used <= layout_.slab_lines, "the slab of this CPU is used up");
    return slabs_ + (cpu * layout_.slab_lines + first) * kLineSize;
}

void KernelMemory::free_object(CpuId cpu, PhysAddr line) {
    slab_of_cpu_.at(cpu).free.push_back(line);
}

PhysAddr KernelMemory::struct_page_line(FrameNumber frame) const {
    std::uint64_t index = 0;
    for (const auto& node : layout_.nodes) {
        if (node.first <= frame && frame - node.first < node.frames)
            return mem_map_ + (index + (frame - node.first)) * kLineSize;
        index += node.frames;
    }
    MMUSIM_CHECK(false, "the frame belongs to no node");
}

NodeId KernelMemory::page_to_nid(FrameNumber frame) const {
    for (NodeId nid = 0; nid < layout_.nodes.size(); ++nid) {
        const MemoryNode& node = layout_.nodes[nid];
        if (node.first <= frame && frame - node.first < node.frames) return nid;
    }
    MMUSIM_CHECK(false, "the frame belongs to no node");
}

}  // namespace mmusim::rmap
