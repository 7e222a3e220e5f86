// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_array.hpp"

#include <algorithm>

namespace mmusim::models {

using rmap::Access;
using rmap::PageNumber;
using rmap::VirtRange;

namespace {

/// Without another look at the page-table entry.
bool allows(const Translation& entry, Access access) {
    switch (access) {
        case Access::kRead:
            return entry.readable;
        case Access::kWrite:
            return entry.writable && entry.dirty;
        case Access::kExecute:
            return entry.executable;
    }
    return false;
}

constexpr unsigned kLargestOrder = 63;  ///< of what is kept, too: a bit each in a word

std::uint64_t bit_of(unsigned order) { return std::uint64_t{1} << order; }

/// The pages of which a piece is kept, or the page itself.
VirtRange whole_page(std::uint64_t number, unsigned order, const Translation& entry) {
    return entry.invalidated_with(PageNumber{number << order});
}

}  // namespace

TlbArray::PageArray::PageArray(const PageArrayConfig& config)
    : orders(config.orders), entries(config.geometry) {
    std::sort(orders.begin(), orders.end());
}

TlbArray::TlbArray(const TlbConfig& config) {
    for (const auto& array : config.arrays)
        if (array.geometry.entries > 0) arrays_.emplace_back(array);
    for (unsigned order = 0; order <= kLargestOrder; ++order) places_.push_back(place_for(order));
}

inline const Translation* TlbArray::find(PageNumber page, TlbTag tag) {
    for (const Probe& probe : probes_) {
        const std::uint64_t number = page.value >> probe.order;
        if (const auto* own = probe.entries->find(number, {page, tag, probe.order})) return own;
        if (!probe.globals) continue;
        if (const auto* global = probe.entries->find(number, {page, tag.as_global(), probe.order}))
            return global;
    }
    return nullptr;
}

const Translation* TlbArray::lookup(PageNumber page, TlbTag tag, Access access) {
    ++stats_.lookups;
    const Translation* found = find(page, tag);
    const bool usable = found && allows(*found, access);
    ++(usable ? stats_.hits : stats_.misses);
    return usable ? found : nullptr;
}

bool TlbArray::would_hit(PageNumber page, TlbTag tag, Access access) const {
    for (const Probe& probe : probes_) {
        const auto peek = [&](TlbTag of) {
            return probe.entries->peek(page.value >> probe.order, {page, of, probe.order});
        };
        const Translation* found = peek(tag);
        if (!found) found = peek(tag.as_global());
        if (found) return allows(*found, access);
    }
    return false;
}

/// The array for pages of that size, or for the largest pieces of them.
TlbArray::Place TlbArray::place_for(unsigned order) {
    Place best;
    for (auto& array : arrays_)
        for (const unsigned candidate : array.orders)
            if (candidate <= order && (!best.array || candidate > best.order))
                best = {&array, candidate};
    return best;
}

void TlbArray::insert(PageNumber page, TlbTag tag, const Translation& translation) {
    const auto [array, order] = places_[translation.order];
    if (!array) return;
    if (translation.global) tag = tag.as_global();
    array->entries.insert(page.value >> order, {page, tag, order}, translation);
    if (order < translation.order || order < translation.first_order) array->held_pieces = true;
    const std::uint64_t bit = bit_of(order);
    const std::uint64_t global_bit = translation.global ? bit : 0;
    if ((array->held & bit) && (array->held_global & global_bit) == global_bit) return;
    array->held |= bit;
    array->held_global |= global_bit;
    update_probes();
}

void TlbArray::update_probes() {
    probes_.clear();
    for (auto& array : arrays_)
        for (const unsigned order : array.orders)
            if (array.held & bit_of(order))
                probes_.push_back(
                    {&array.entries, order, (array.held_global & bit_of(order)) != 0});
}

std::uint64_t TlbArray::invalidate(PageArray& array, const TlbScope& scope) {
    const auto matches = [&scope](const Key& key, const Translation& entry) {
        if (key.tag().vm() != scope.vm || scope.read_until < entry.oldest_read) return false;
        const bool of_space = key.tag().is_global()
                                  ? scope.globals
                                  : !scope.space || key.tag().space() == *scope.space;
        return of_space && (!scope.range ||
                            scope.range->overlaps(whole_page(key.number(), key.order(), entry)));
    };
    constexpr std::uint64_t kSearchAll = 64;  ///< pages; beyond it every entry is looked at
    if (!scope.range || array.held_pieces || scope.range->pages() > kSearchAll)
        return array.entries.erase_if(matches);
    const std::uint64_t first = rmap::page_of(scope.range->start).value;
    const std::uint64_t last = rmap::page_of({scope.range->end.value - 1}).value;
    std::uint64_t erased = 0;
    for (const unsigned order : array.orders)
        for (std::uint64_t number = first >> order; number <= last >> order; ++number)
            erased += array.entries.erase_in_set(number, matches);
    return erased;
}

std::uint64_t TlbArray::invalidate(const TlbScope& scope) {
    std::uint64_t erased = 0;
    for (auto& array : arrays_) erased += invalidate(array, scope);
    stats_.invalidated += erased;
    return erased;
}

}  // namespace mmusim::models
