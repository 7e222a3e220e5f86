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

/// The entries of one TLB level, 4 KiB and 2 MiB pages in arrays of their own. Plain: no time.
/// Tags are the full page number and the PCID; a global entry answers for every PCID.
class TlbArray {
public:
    explicit TlbArray(const TlbConfig& config)
        : small_(config.small.entries, config.small.ways),
          large_(config.large.entries, config.large.ways) {}

    /// A hit needs the permission and, for a store, an entry that is known to be dirty: otherwise
    /// the page-table entry has to be looked at again (Intel SDM vol. 3, 4.8 and 4.10.2.3).
    const Translation* lookup(rmap::PageNumber page, rmap::Pcid pcid, rmap::Access access);

    void insert(rmap::PageNumber page, rmap::Pcid pcid, const Translation& translation);

    /// Drops what the operation demands; returns how many entries.
    std::uint64_t invalidate(const rmap::TlbOperation& operation);

    const TlbStats& stats() const { return stats_; }

private:
    struct Key {
        std::uint64_t page = 0;  ///< in units of the array's page size
        rmap::Pcid pcid = 0;     ///< kGlobal for a global entry
        friend bool operator==(const Key& a, const Key& b) {
            return a.page == b.page && a.pcid == b.pcid;
        }
    };
    using Array = SetAssociative<Key, Translation>;

    static constexpr rmap::Pcid kGlobal = 0xffff;  ///< PCIDs have 12 bits
    static constexpr unsigned kLargeShift = 9;     ///< 512 small pages

    static const Translation* find(Array& array, std::uint64_t page, rmap::Pcid pcid);
    enum class Globals { kKept, kDropped };
    std::uint64_t invalidate_page(rmap::PageNumber page, rmap::Pcid pcid, Globals globals);

    Array small_;
    Array large_;
    TlbStats stats_;
};

}  // namespace mmusim::models
