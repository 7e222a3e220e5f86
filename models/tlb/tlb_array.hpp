// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "models/tlb/set_associative.hpp"
#include "models/tlb/tlb_config.hpp"
#include "models/tlb/tlb_scope.hpp"
#include "models/tlm/translation.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::models {

struct TlbStats {
    std::uint64_t lookups = 0;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t invalidated = 0;  ///< entries dropped by invalidations
};

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

/// The entries of one TLB level: of a core, a guest's second stage, an IOMMU or a device. Plain: no
/// time. Keys are the full page number, its size and the tag.
class TlbArray {
public:
    explicit TlbArray(const TlbConfig& config);
    TlbArray(const TlbArray&) = delete;
    TlbArray& operator=(const TlbArray&) = delete;

    /// A hit needs the permission and, for a store, an entry that is known to be dirty: otherwise
    /// the page-table entry has to be looked at again (Intel SDM vol. 3, 4.8 and 4.10.2.3).
    const Translation* lookup(rmap::PageNumber page, TlbTag tag, rmap::Access access);

    /// Whether lookup() would find something: nothing is counted or used.
    bool would_hit(rmap::PageNumber page, TlbTag tag, rmap::Access access) const;

    /// A large page that has to be kept in pieces is kept as the piece with `page`.
    void insert(rmap::PageNumber page, TlbTag tag, const Translation& translation);

    /// Drops the entries of the scope, all pieces of a page included (Intel SDM vol. 3, 4.10.4.1).
    /// Returns how many.
    std::uint64_t invalidate(const TlbScope& scope);

    const TlbStats& stats() const { return stats_; }

private:
    /// Two words, for few comparisons on the path of every access.
    class Key {
    public:
        Key() = default;
        /// `order` is the size of what is kept; of the whole page: Translation::order.
        Key(rmap::PageNumber page, TlbTag tag, unsigned order)
            : number_and_order_(page.value >> order | std::uint64_t{order} << kOrderShift),
              tag_(tag) {}
        /// Of what is kept, in units of its size.
        std::uint64_t number() const { return number_and_order_ & ((1ull << kOrderShift) - 1); }
        unsigned order() const { return static_cast<unsigned>(number_and_order_ >> kOrderShift); }
        TlbTag tag() const { return tag_; }
        friend bool operator==(const Key& a, const Key& b) {
            return a.number_and_order_ == b.number_and_order_ && a.tag_ == b.tag_;
        }

    private:
        static constexpr unsigned kOrderShift = 58;  ///< page numbers have at most 52 bits
        std::uint64_t number_and_order_ = 0;
        TlbTag tag_;
    };
    using Entries = SetAssociative<Key, Translation>;
    struct PageArray {
        std::vector<unsigned> orders;  ///< ascending
        Entries entries;
        std::uint64_t held = 0;         ///< sizes that there have been, a bit per order
        std::uint64_t held_global = 0;  ///< likewise, of global entries
        bool held_pieces = false;

        explicit PageArray(const PageArrayConfig& config);
    };
    /// A size for which an array is looked into: one that it has held before.
    struct Probe {
        Entries* entries;
        unsigned order;
        bool globals;  ///< has held global entries, too
    };

    const Translation* find(rmap::PageNumber page, TlbTag tag);
    static std::uint64_t invalidate(PageArray& array, const TlbScope& scope);
    /// Where a page of some size is kept, and as a page of which size.
    struct Place {
        PageArray* array = nullptr;  ///< null: nowhere
        unsigned order = 0;
    };
    Place place_for(unsigned order);
    void update_probes();

    std::vector<PageArray> arrays_;
    std::vector<Place> places_;  ///< by order
    std::vector<Probe> probes_;  ///< in the order of the arrays, then of the sizes
    TlbStats stats_;
};

}  // namespace mmusim::models
