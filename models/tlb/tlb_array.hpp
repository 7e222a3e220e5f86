// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/tlb/set_associative.hpp"
#include "models/tlb/tlb_config.hpp"
#include "models/tlm/translation.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::models {

struct TlbStats {
    std::uint64_t lookups = 0;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t invalidated = 0;  ///< entries dropped by invalidation instructions
};

/// Whose entry it is. Entries of a guest are combined translations, guest virtual to host physical,
/// tagged with its VPID and its own PCID (Intel SDM vol. 3, 28.4.1); the host's have vm 0.
/// Held as one word, for one comparison on the path of every access.
class TlbTag {
public:
    constexpr TlbTag() = default;
    constexpr TlbTag(rmap::Pcid pcid, rmap::VmId vm) : word_(std::uint32_t{vm} << 16 | pcid) {}
    constexpr rmap::Pcid pcid() const { return static_cast<rmap::Pcid>(word_); }
    constexpr rmap::VmId vm() const { return static_cast<rmap::VmId>(word_ >> 16); }
    friend constexpr bool operator==(TlbTag a, TlbTag b) { return a.word_ == b.word_; }

private:
    std::uint32_t word_ = 0;
};

/// The entries of one TLB level, 4 KiB and 2 MiB pages in arrays of their own. Plain: no time.
/// Keys are the full page number and the tag; a global entry answers for every PCID of its vm.
class TlbArray {
public:
    explicit TlbArray(const TlbConfig& config)
        : small_(config.small.entries, config.small.ways),
          large_(config.large.entries, config.large.ways) {}

    /// A hit needs the permission and, for a store, an entry that is known to be dirty: otherwise
    /// the page-table entry has to be looked at again (Intel SDM vol. 3, 4.8 and 4.10.2.3).
    const Translation* lookup(rmap::PageNumber page, TlbTag tag, rmap::Access access);

    void insert(rmap::PageNumber page, TlbTag tag, const Translation& translation);

    /// Drops what the operation demands; returns how many entries. INVEPT drops everything of its
    /// guest and nothing else, every other operation entries of the host only (Intel SDM vol. 3,
    /// 28.4.3.1: they act on VPID 0 outside of a guest).
    std::uint64_t invalidate(const rmap::TlbOperation& operation);

    const TlbStats& stats() const { return stats_; }

private:
    struct Key {
        std::uint64_t page = 0;  ///< in units of the array's page size
        TlbTag tag;              ///< with kGlobal for a global entry
        friend bool operator==(const Key& a, const Key& b) {
            return a.page == b.page && a.tag == b.tag;
        }
    };
    using Array = SetAssociative<Key, Translation>;

    static constexpr rmap::Pcid kGlobal = 0xffff;  ///< PCIDs have 12 bits

    static const Translation* find(Array& array, std::uint64_t page, TlbTag tag);
    enum class Globals { kKept, kDropped };
    template <class Matches>
    std::uint64_t erase_if(Matches&& matches) {
        return small_.erase_if(matches) + large_.erase_if(matches);
    }
    std::uint64_t invalidate_page(rmap::PageNumber page, rmap::Pcid pcid, Globals globals);

    Array small_;
    Array large_;
    TlbStats stats_;
};

}  // namespace mmusim::models
