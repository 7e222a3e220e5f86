// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_filter.hpp"

#include <algorithm>
#include <utility>

namespace mmusim::models {

using rmap::PageNumber;

TlbFilter::TlbFilter(const TlbConfig& tlb) {
    constexpr unsigned kMostHeld = 8;  ///< of a set
    for (const auto& array : tlb.arrays) {
        const std::size_t sets = array.geometry.entries ? array.geometry.sets() : 0;
        for (const unsigned order : array.orders)
            if (sets > 0) sizes_.push_back({order, sets_.size(), {array.geometry.index, sets}});
        Set empty;
        empty.held.resize(std::min(array.geometry.ways, kMostHeld));
        sets_.insert(sets_.end(), sets, empty);
    }
    std::sort(sizes_.begin(), sizes_.end(),
              [](const Probe& a, const Probe& b) { return a.order > b.order; });
}

TlbFilter::Usable TlbFilter::find(PageNumber page, TlbTag tag) const {
    for (const Probe& probe : probes_) {
        const Set& set = sets_[probe.set_of(page)];
        if (set.current != 0 && set.held[set.used].key == TlbKey(page, tag, probe.order))
            return set.usable();
    }
    return {};
}

TlbFilter::Use TlbFilter::used(PageNumber page, TlbTag tag, unsigned order) {
    const auto own = std::find_if(sizes_.begin(), sizes_.end(),
                                  [&](const Probe& size) { return size.order <= order; });
    if (own == sizes_.end()) return {};
    Set& set = sets_[own->set_of(page)];
    const TlbKey key(page, tag, own->order);
    const auto held = std::find_if(set.held.begin(), set.held.end(),
                                   [&](const Held& other) { return other.key == key; });
    const bool again = std::exchange(set.last_number, key.number()) == key.number();
    if (held == set.held.end()) {
        set.current = 0;
        return {{}, again};
    }
    set.current = held->serial;
    set.used = static_cast<unsigned>(held - set.held.begin());
    return {set.usable()};
}

void TlbFilter::missed(PageNumber page, TlbTag tag) {
    for (const Probe& size : sizes_) {
        Set& set = sets_[size.set_of(page)];
        set.current = 0;
        for (Held& held : set.held)
            if (held.key == TlbKey(page, tag, size.order)) held.key = {};
    }
}

TlbFilter::Usable TlbFilter::keep(PageNumber page, TlbTag tag, const TlbGrant& grant) {
    const std::uint64_t bit = std::uint64_t{1} << grant.order;
    if (!(granted_ & bit)) {
        granted_ |= bit;
        probes_.clear();
        for (const Probe& size : sizes_)
            if (granted_ >> size.order & 1) probes_.push_back(size);
    }
    const auto own = std::find_if(probes_.begin(), probes_.end(),
                                  [&](const Probe& probe) { return probe.order == grant.order; });
    Set& set = sets_[own->set_of(page)];
    set.current = ++serials_;
    set.used = set.next;
    set.next = (set.next + 1) % static_cast<unsigned>(set.held.size());
    set.held[set.used] = {TlbKey(page, tag, grant.order), set.current, grant};
    return set.usable();
}

void TlbFilter::withdraw(const rmap::VirtRange& pages) {
    constexpr std::uint64_t kSearchAll = 8;  ///< pages; beyond it every set is looked at
    const auto drop = [&](Set& set) {
        for (Held& held : set.held) {
            if (held.key == TlbKey() || !held.key.pages().overlaps(pages)) continue;
            if (set.current == held.serial) set.current = 0;
            held.key = {};
        }
    };
    if (pages.pages() > kSearchAll) {
        std::for_each(sets_.begin(), sets_.end(), drop);
        return;
    }
    const std::uint64_t first = rmap::page_of(pages.start).value;
    const std::uint64_t last = rmap::page_of({pages.end.value - 1}).value;
    for (const Probe& probe : probes_)
        for (std::uint64_t page = first; page <= last; ++page)
            drop(sets_[probe.set_of(PageNumber{page})]);
}

}  // namespace mmusim::models
