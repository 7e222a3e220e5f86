// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/frame_layout.hpp"

#include <utility>

namespace mmusim::platform {

using rmap::kBitmapChunkBits;

/// A whole chunk of frames that nothing else uses, nor will.
FrameLayout::Chunk FrameLayout::take_chunk(rmap::Cpu& cpu) {
    auto& state = kernel_.state();
    Chunk chunk;
    std::uint64_t number = 0;
    while (chunk.size() < kBitmapChunkBits) {
        rmap::Page& page = state.pages.alloc_page(cpu, state.node_of(cpu));
        const std::uint64_t frame = page.pfn().value;
        if (frame / kBitmapChunkBits != number) chunk.clear();
        number = frame / kBitmapChunkBits;
        chunk.emplace(frame % kBitmapChunkBits, &page);
    }
    return chunk;
}

void FrameLayout::place_next(rmap::Cpu& cpu, std::uint64_t theirs) {
    const auto [found, added] = chunks_.try_emplace(theirs / kBitmapChunkBits);
    if (added) found->second = take_chunk(cpu);
    Chunk& chunk = found->second;
    const auto page = chunk.find(theirs % kBitmapChunkBits);
    if (page == chunk.end()) return;
    // What is freed last is allocated first.
    page->second->add_refcount(cpu, -1);
    kernel_.state().pages.free_unref_page(cpu, *page->second);
    chunk.erase(page);
}

}  // namespace mmusim::platform
