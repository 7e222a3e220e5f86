// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_filter.hpp"

#include <algorithm>
#include <utility>

namespace mmusim::models {

using rmap::PageNumber;

TlbFilter::TlbFilter(const TlbConfig& tlb) {
    std::size_t slots = 0;
    for (const auto& array : tlb.arrays) {
        const std::size_t sets = array.geometry.entries ? array.geometry.sets() : 0;
        for (const unsigned order : array.orders)
            if (sets > 0) sizes_.push_back({order, slots, {array.geometry.index, sets}});
        slots += sets;
    }
    std::sort(sizes_.begin(), sizes_.end(),
              [](const Probe& a, const Probe& b) { return a.order > b.order; });
    slots_.resize(slots);
}

bool TlbFilter::used(PageNumber page, unsigned order) {
    const auto own = std::find_if(sizes_.begin(), sizes_.end(),
                                  [&](const Probe& size) { return size.order <= order; });
    if (own == sizes_.end()) return false;
    Slot& slot = slots_[own->slot_of(page)];
    slot.key = {};
    const std::uint64_t number = page.value >> own->order;
    return std::exchange(slot.last_number, number) == number;
}

void TlbFilter::missed(PageNumber page) {
    for (const Probe& size : sizes_) slots_[size.slot_of(page)].key = {};
}

void TlbFilter::keep(PageNumber page, TlbTag tag, const TlbGrant& grant) {
    const std::uint64_t bit = std::uint64_t{1} << grant.order;
    if (!(granted_ & bit)) {
        granted_ |= bit;
        probes_.clear();
        for (const Probe& size : sizes_)
            if (granted_ >> size.order & 1) probes_.push_back(size);
    }
    std::uint8_t allowed = 0;
    for (const auto access : {rmap::Access::kRead, rmap::Access::kWrite, rmap::Access::kExecute})
        if (grant.translation.allows(access)) allowed |= 1u << static_cast<unsigned>(access);
    for (const Probe& probe : probes_)
        if (probe.order == grant.order)
            slots_[probe.slot_of(page)] = {TlbKey(page, tag, grant.order),
                                           page.value >> grant.order, grant, allowed};
}

void TlbFilter::withdraw(const rmap::VirtRange& pages) {
    constexpr std::uint64_t kSearchAll = 8;  ///< pages; beyond it every slot is looked at
    const auto drop = [&](Slot& slot) {
        if (!(slot.key == TlbKey()) && slot.key.pages().overlaps(pages)) slot.key = {};
    };
    if (pages.pages() > kSearchAll) {
        std::for_each(slots_.begin(), slots_.end(), drop);
        return;
    }
    const std::uint64_t first = rmap::page_of(pages.start).value;
    const std::uint64_t last = rmap::page_of({pages.end.value - 1}).value;
    for (const Probe& probe : probes_)
        for (std::uint64_t page = first; page <= last; ++page)
            drop(slots_[probe.slot_of(PageNumber{page})]);
}

}  // namespace mmusim::models
