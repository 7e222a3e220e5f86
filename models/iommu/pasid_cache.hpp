// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/tlb/set_associative.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// What context entry and PASID-table entry say of a device and a PASID.
struct PasidEntry {
    rmap::PhysAddr first_level{};  ///< root of the page tables
    bool device_tlb = false;       ///< translation requests are allowed
    rmap::Instant oldest_read{};   ///< when the first of the tables' entries was read
};

/// The PASID cache (Intel VT-d, 6.2.2), context entries included. Plain: no time of its own.
class PasidCache {
public:
    explicit PasidCache(const ArrayGeometry& geometry) : entries_(geometry) {}

    const PasidEntry* lookup(rmap::SourceId source, rmap::Pasid pasid) {
        return entries_.find(index(source, pasid), {source, pasid});
    }
    void insert(rmap::SourceId source, rmap::Pasid pasid, const PasidEntry& entry) {
        entries_.insert(index(source, pasid), {source, pasid}, entry);
    }
    /// Drops what is known of `pasid` from reads until `at`, of every device; returns how many.
    std::uint64_t invalidate(rmap::Pasid pasid, rmap::Instant at) {
        return entries_.erase_if([&](const Key& key, const PasidEntry& entry) {
            return key.pasid == pasid && entry.oldest_read <= at;
        });
    }

private:
    struct Key {
        rmap::SourceId source = 0;
        rmap::Pasid pasid = 0;
        friend bool operator==(const Key& a, const Key& b) {
            return a.source == b.source && a.pasid == b.pasid;
        }
    };

    static std::uint64_t index(rmap::SourceId source, rmap::Pasid pasid) {
        return std::uint64_t{pasid} + source;
    }

    SetAssociative<Key, PasidEntry> entries_;
};

}  // namespace mmusim::models
