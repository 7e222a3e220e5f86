// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_array.hpp"

#include <algorithm>

namespace mmusim::models {

using rmap::Access;
using rmap::PageNumber;
using rmap::VirtRange;

namespace {

std::uint64_t bit_of(unsigned order) { return std::uint64_t{1} << order; }

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
}

const Translation* TlbArray::find(PageArray& array, PageNumber page, TlbTag tag) {
    for (const unsigned order : array.orders) {
        if (!(array.held & bit_of(order))) continue;
        const std::uint64_t number = page.value >> order;
        if (const auto* own = array.entries.find(number, {number, tag, order})) return own;
        if (!(array.held_global & bit_of(order))) continue;
        if (const auto* global = array.entries.find(number, {number, tag.as_global(), order}))
            return global;
    }
    return nullptr;
}

const Translation* TlbArray::lookup(PageNumber page, TlbTag tag, Access access) {
    ++stats_.lookups;
    const Translation* found = nullptr;
    for (auto array = arrays_.begin(); array != arrays_.end() && !found; ++array)
        found = find(*array, page, tag);
    const bool usable = found && allows(*found, access);
    ++(usable ? stats_.hits : stats_.misses);
    return usable ? found : nullptr;
}

/// The array for pages of that size, or for the largest pieces of them; `kept` is their size.
TlbArray::PageArray* TlbArray::array_for(unsigned order, unsigned& kept) {
    PageArray* best = nullptr;
    for (auto& array : arrays_)
        for (const unsigned candidate : array.orders)
            if (candidate <= order && (!best || candidate > kept)) {
                best = &array;
                kept = candidate;
            }
    return best;
}

void TlbArray::insert(PageNumber page, TlbTag tag, const Translation& translation) {
    unsigned order = 0;
    PageArray* array = array_for(translation.order, order);
    if (!array) return;
    if (translation.global) tag = tag.as_global();
    const std::uint64_t number = page.value >> order;
    array->entries.insert(number, {number, tag, order}, translation);
    array->held |= bit_of(order);
    if (translation.global) array->held_global |= bit_of(order);
    if (order < translation.order || order < translation.first_order) array->held_pieces = true;
}

std::uint64_t TlbArray::invalidate(PageArray& array, const TlbScope& scope) {
    const auto matches = [&scope](const Key& key, const Translation& entry) {
        if (key.tag.vm() != scope.vm || scope.read_until < entry.oldest_read) return false;
        const bool of_space =
            key.tag.is_global() ? scope.globals : !scope.space || key.tag.space() == *scope.space;
        return of_space &&
               (!scope.range || scope.range->overlaps(whole_page(key.number, key.order, entry)));
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
