// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/tlb/set_associative.hpp"
#include "models/tlb/tlb_array.hpp"
#include "models/tlb/tlb_config.hpp"
#include "models/tlm/translation.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::models {

/// The pages that a translation of `page` is for.
inline rmap::VirtRange pages_of(rmap::PageNumber page, const Translation& translation) {
    return rmap::aligned_pages(rmap::address_of(page), translation.large ? rmap::kLargeOrder : 0);
}

/// Translations tagged by PASID, 4 KiB and 2 MiB pages in arrays of their own: the IOTLB of an
/// IOMMU, or the ATC of a device. Plain: no time of its own.
class IotlbArray {
public:
    explicit IotlbArray(const TlbConfig& config)
        : small_(config.small.entries, config.small.ways),
          large_(config.large.entries, config.large.ways) {}

    /// A hit needs the permission and, for a write, an entry that is known to be dirty.
    const Translation* lookup(rmap::PageNumber page, rmap::Pasid pasid, rmap::Access access);

    void insert(rmap::PageNumber page, rmap::Pasid pasid, const Translation& translation);

    /// An invalidation that takes effect at `at`: drops the entries of `pasid` that have pages in
    /// `range` and depend on anything read until then. Returns how many.
    std::uint64_t invalidate(rmap::Pasid pasid, const rmap::VirtRange& range, rmap::Instant at);

    const TlbStats& stats() const { return stats_; }

private:
    struct Key {
        std::uint64_t page = 0;  ///< in units of the array's page size
        rmap::Pasid pasid = 0;
        friend bool operator==(const Key& a, const Key& b) {
            return a.page == b.page && a.pasid == b.pasid;
        }
    };
    using Array = SetAssociative<Key, Translation>;

    Array small_;
    Array large_;
    TlbStats stats_;
};

}  // namespace mmusim::models
