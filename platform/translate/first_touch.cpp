// SPDX-License-Identifier: Apache-2.0
#include "platform/translate/first_touch.hpp"

#include <fmt/format.h>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {

FirstTouch::FirstTouch(const rmap::PageTableFormat& format, unsigned page_order,
                       const models::Topology& topology, rmap::PhysMemPort& memory)
    : format_(format),
      page_order_(page_order),
      page_shift_(rmap::kPageShift + page_order),
      frames_(topology.sockets * topology.frames_per_node),
      tables_(format, memory, [this](unsigned order) {
          table_pages_ += std::uint64_t{1} << order;
          return allocate(order);
      }) {}

rmap::FrameNumber FirstTouch::allocate(unsigned order) {
    const std::uint64_t count = std::uint64_t{1} << order;
    const std::uint64_t first = (next_frame_ + count - 1) & ~(count - 1);
    if (first + count > frames_)
        throw UserError(
            fmt::format("the trace touches more than the {} MiB of the platform's memory; more is "
                        "topology.memory_mib_per_node",
                        frames_ >> (20 - rmap::kPageShift)));
    next_frame_ = first + count;
    return {first};
}

void FirstTouch::touch_page(std::uint64_t page) {
    const std::uint64_t address = page << page_shift_;
    Mapped& mapped = mapped_[page / kChunk];
    if (!mapped[page % kChunk]) {
        if (!format_.translates(address))
            throw UserError(fmt::format("the trace touches {:#x}, which {} does not translate",
                                        address, format_.name));
        tables_.map(address, page_order_, allocate(page_order_), {});
        mapped.set(page % kChunk);
        ++pages_;
    }
    recent_[page % recent_.size()] = page + 1;
}

}  // namespace mmusim::platform
