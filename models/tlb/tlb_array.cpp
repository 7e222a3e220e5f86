// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_array.hpp"

#include <algorithm>

namespace mmusim::models {

using rmap::Access;
using rmap::PageNumber;

namespace {

constexpr unsigned kLargestOrder = 63;  ///< of what is kept, too: a bit each in a word

std::uint64_t bit_of(unsigned order) { return std::uint64_t{1} << order; }

}  // namespace

TlbArray::PageArray::PageArray(const PageArrayConfig& config)
    : orders(config.orders), entries(config.geometry) {
    std::sort(orders.begin(), orders.end());
}

TlbArray::TlbArray(const TlbConfig& config) : live_spaces_(config.live_spaces) {
    for (const auto& array : config.arrays)
        if (array.geometry.entries > 0) arrays_.emplace_back(array);
    for (unsigned order = 0; order <= kLargestOrder; ++order) places_.push_back(place_for(order));
}

const Translation* TlbArray::find(PageNumber page, TlbTag tag) {
    for (const Probe& probe : probes_) {
        const std::uint64_t number = page.value >> probe.order;
        if (const auto* own = probe.entries->find(number, {page, tag, probe.order}))
            return &own->translation;
        if (!probe.globals) continue;
        if (const auto* global = probe.entries->find(number, {page, tag.as_global(), probe.order}))
            return &global->translation;
    }
    return nullptr;
}

std::optional<TlbArray::Entry> TlbArray::grant(PageNumber page, TlbTag tag) {
    for (const Probe& probe : probes_)
        for (const TlbTag whose : {tag, tag.as_global()}) {
            const TlbKey key(page, whose, probe.order);
            const auto found = probe.entries->peek(key.number(), key);
            if (!found.value) continue;
            if (!found.last_used) return std::nullopt;
            found.value->granted = true;
            return Entry{key, found.value->translation, true};
        }
    return std::nullopt;
}

bool TlbArray::would_hit(PageNumber page, TlbTag tag, Access access) const {
    for (const Probe& probe : probes_) {
        const auto peek = [&](TlbTag of) {
            return probe.entries->peek(page.value >> probe.order, {page, of, probe.order}).value;
        };
        const Held* found = peek(tag);
        if (!found) found = peek(tag.as_global());
        if (found) return found->translation.allows(access);
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

TlbArray::Gone TlbArray::insert(PageNumber page, TlbTag tag, const Translation& translation) {
    Gone gone;
    const auto [array, order] = places_[translation.order];
    if (!array) return gone;
    if (translation.global) tag = tag.as_global();
    if (live_spaces_.limited() && !translation.global) {
        gone.space = live_spaces_.add(tag);
        if (gone.space) drop(*gone.space);
    }
    const TlbKey own(page, tag, order);
    array->entries.insert(own.number(), own, {translation},
                          [&](const TlbKey& key, const Held& old) {
                              if (key == own)
                                  gone.granted_self = old.granted;
                              else
                                  gone.evicted = Entry{key, old.translation, old.granted};
                          });
    if (order < translation.order || order < translation.first_order) array->held_pieces = true;
    const std::uint64_t bit = bit_of(order);
    const std::uint64_t global_bit = translation.global ? bit : 0;
    if ((array->held & bit) && (array->held_global & global_bit) == global_bit) return gone;
    array->held |= bit;
    array->held_global |= global_bit;
    update_probes();
    return gone;
}

void TlbArray::update_probes() {
    probes_.clear();
    for (auto& array : arrays_)
        for (const unsigned order : array.orders)
            if (array.held & bit_of(order))
                probes_.push_back(
                    {&array.entries, order, (array.held_global & bit_of(order)) != 0});
    std::sort(probes_.begin(), probes_.end(),
              [](const Probe& a, const Probe& b) { return a.order > b.order; });
}

/// Erases entries that match, which are for some of `pages`; with `pieces`, or for a page of which
/// a piece is kept that is among `pages`.
template <class Matches>
TlbArray::Dropped TlbArray::erase(const rmap::VirtRange& pages, bool pieces, Matches&& matches) {
    Dropped dropped;
    const auto matches_and_notes = [&](const TlbKey& key, const Held& held) {
        if (!matches(key, held.translation)) return false;
        if (held.granted) {
            dropped.granted.start = std::min(dropped.granted.start, key.pages().start);
            dropped.granted.end = std::max(dropped.granted.end, key.pages().end);
        }
        return true;
    };
    constexpr std::uint64_t kSearchAll = 64;  ///< pages; beyond it every entry is looked at
    const std::uint64_t first = rmap::page_of(pages.start).value;
    const std::uint64_t last = rmap::page_of({pages.end.value - 1}).value;
    for (auto& array : arrays_) {
        if (pages.pages() > kSearchAll || (pieces && array.held_pieces)) {
            dropped.entries += array.entries.erase_if(matches_and_notes);
            continue;
        }
        for (const unsigned order : array.orders)
            for (std::uint64_t number = first >> order; number <= last >> order; ++number)
                dropped.entries += array.entries.erase_in_set(number, matches_and_notes);
    }
    return dropped;
}

TlbArray::Dropped TlbArray::invalidate_pages(const TlbScope& scope) {
    live_spaces_.remove(scope);
    const Dropped dropped = erase(
        scope.range.value_or(rmap::kAllAddresses), true,
        [&](const TlbKey& key, const Translation& entry) {
            // All pages of which a piece is kept.
            return covers(scope, key.tag(), entry.invalidated_with(key.page()), entry.oldest_read);
        });
    stats_.invalidated += dropped.entries;
    return dropped;
}

TlbArray::Dropped TlbArray::drop(TlbTag space) {
    return erase(rmap::kAllAddresses, true,
                 [&](const TlbKey& key, const Translation&) { return key.tag() == space; });
}

TlbArray::Dropped TlbArray::drop(const TlbKey& key) {
    return erase(key.pages(), false, [&](const TlbKey& other, const Translation&) {
        return other.tag() == key.tag() && other.pages().overlaps(key.pages());
    });
}

void TlbArray::drop(PageNumber page, TlbTag tag) {
    for (const Probe& probe : probes_)
        for (const TlbTag whose : {tag, tag.as_global()}) {
            const TlbKey key(page, whose, probe.order);
            const auto is = [&](const TlbKey& other, const Held&) { return other == key; };
            if (probe.entries->erase_in_set(key.number(), is) > 0) return;
        }
}

}  // namespace mmusim::models
