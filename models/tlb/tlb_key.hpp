// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/tlb/tlb_scope.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::models {

/// Whose entry it is. Entries of a guest are combined translations, guest virtual to host physical,
/// tagged with its VPID and its own PCID (Intel SDM vol. 3, 28.4.1); the host's have vm 0.
/// Held as one word, for one comparison on the path of every access.
class TlbTag {
public:
    constexpr TlbTag() = default;
    constexpr TlbTag(SpaceId space, rmap::VmId vm) : word_(std::uint64_t{vm} << 32 | space) {}
    /// Of an entry that answers for every space of its vm.
    static constexpr TlbTag global(rmap::VmId vm) { return {kGlobal, vm}; }
    constexpr TlbTag as_global() const { return global(vm()); }

    constexpr SpaceId space() const { return static_cast<SpaceId>(word_); }
    constexpr rmap::VmId vm() const { return static_cast<rmap::VmId>(word_ >> 32); }
    constexpr bool is_global() const { return space() == kGlobal; }
    friend constexpr bool operator==(TlbTag a, TlbTag b) { return a.word_ == b.word_; }

private:
    static constexpr SpaceId kGlobal = ~SpaceId{0};  ///< ids have at most 20 bits
    std::uint64_t word_ = 0;
};

/// What an entry is for: a page, or a piece of one, of somebody. Two words, for few comparisons on
/// the path of every access.
class TlbKey {
public:
    constexpr TlbKey() = default;
    /// `order` is the size of what is kept; of the whole page: Translation::order.
    constexpr TlbKey(rmap::PageNumber page, TlbTag tag, unsigned order)
        : number_and_order_(page.value >> order | std::uint64_t{order} << kOrderShift), tag_(tag) {}
    /// Of what is kept, in units of its size.
    constexpr std::uint64_t number() const {
        return number_and_order_ & ((1ull << kOrderShift) - 1);
    }
    constexpr unsigned order() const {
        return static_cast<unsigned>(number_and_order_ >> kOrderShift);
    }
    constexpr TlbTag tag() const { return tag_; }
    constexpr rmap::PageNumber page() const { return {number() << order()}; }  ///< the first
    constexpr rmap::VirtRange pages() const {
        return rmap::aligned_pages(rmap::address_of(page()), order());
    }
    friend constexpr bool operator==(const TlbKey& a, const TlbKey& b) {
        return a.number_and_order_ == b.number_and_order_ && a.tag_ == b.tag_;
    }

private:
    static constexpr unsigned kOrderShift = 58;           ///< page numbers have at most 52 bits
    std::uint64_t number_and_order_ = ~std::uint64_t{0};  ///< of no page
    TlbTag tag_;
};

/// Whether an invalidation is for an entry that goes with any of `pages`
/// (Translation::invalidated_with()), of which the first read of the walk was at `oldest_read`.
inline bool covers(const TlbScope& scope, TlbTag tag, const rmap::VirtRange& pages,
                   rmap::Instant oldest_read) {
    const bool of_space =
        tag.is_global() ? scope.globals : !scope.space || tag.space() == *scope.space;
    return scope.covers(tag.vm()) && of_space && oldest_read <= scope.read_until &&
           (!scope.range || scope.range->overlaps(pages));
}

}  // namespace mmusim::models
