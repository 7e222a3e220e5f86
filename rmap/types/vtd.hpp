// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"

// Formats of the Intel VT-d architecture that driver and hardware share (Intel Virtualization
// Technology for Directed I/O, rev. 3.0): queued invalidation (6.5.2) and the scalable-mode tables
// (9.1, 9.4, 9.5, 9.6).

namespace mmusim::rmap {

/// Types of invalidation descriptors, bits 3:0.
enum class QiType : std::uint64_t {
    kInvalidationWait = 0x5,
    kPasidIotlb = 0x6,
    kPasidCache = 0x7,
    kPasidDeviceTlb = 0x8,
};

/// Untranslated address and size of an ATS invalidate request (PCI Express 5.0, 10.3.2).
struct AtsRange {
    static constexpr std::uint64_t kSize = 1ull << 11;

    static constexpr std::uint64_t encode(VirtAddr address, unsigned order) {
        if (order == 0) return page_start(address).value;
        if (order >= 64 - kPageShift) return (~0ull >> 1 & ~(kPageSize - 1)) | kSize;
        const std::uint64_t size = kPageSize << order;
        return (address.value & ~(size - 1)) | ((size >> 1) - kPageSize) | kSize;
    }
    static constexpr VirtRange decode(std::uint64_t encoded) {
        if (!(encoded & kSize)) return aligned_pages({encoded}, 0);
        unsigned order = 1;
        while (order < 52 && (encoded >> (kPageShift + order - 1) & 1)) ++order;
        return aligned_pages({encoded}, order);
    }
};

/// One descriptor of 128 bits as it lies in the queue.
struct QiDescriptor {
    static constexpr std::uint64_t kBytes = 16;

    std::uint64_t low = 0;
    std::uint64_t high = 0;

    enum class Granularity : std::uint64_t { kPasid = 2, kPages = 3 };
    enum class Hint : std::uint64_t { kNone = 0, kLeafOnly = 1u << 6 };

    /// PASID-based IOTLB invalidation of 2^`address_mask` pages. The hardware ignores the low
    /// `address_mask` bits of the page number. kLeafOnly: it may keep paging-structure entries.
    static constexpr QiDescriptor pasid_iotlb_pages(Pasid pasid, VirtAddr address,
                                                    unsigned address_mask,
                                                    Hint hint = Hint::kNone) {
        return {low_of(QiType::kPasidIotlb, Granularity::kPages) | pasid_field(pasid),
                page_start(address).value | static_cast<std::uint64_t>(hint) | address_mask};
    }
    /// ... of everything of the PASID, paging-structure caches included.
    static constexpr QiDescriptor pasid_iotlb_all(Pasid pasid) {
        return {low_of(QiType::kPasidIotlb, Granularity::kPasid) | pasid_field(pasid), 0};
    }
    static constexpr QiDescriptor pasid_cache(Pasid pasid) {
        return {static_cast<std::uint64_t>(QiType::kPasidCache) | 1u << 4 | pasid_field(pasid), 0};
    }
    /// `address_and_size` in the encoding of PCI Express ATS: with kSize set, the number of low
    /// one bits of the page number, plus 1, is the order of the range.
    static constexpr QiDescriptor pasid_device_tlb(SourceId device, Pasid pasid,
                                                   std::uint64_t address_and_size) {
        return {static_cast<std::uint64_t>(QiType::kPasidDeviceTlb) | std::uint64_t{device} << 16 |
                    pasid_field(pasid),
                address_and_size};
    }
    /// Writes `data` to `status` when all descriptors before it are complete.
    static constexpr QiDescriptor wait(PhysAddr status, std::uint32_t data) {
        return {static_cast<std::uint64_t>(QiType::kInvalidationWait) | 1u << 5 |
                    std::uint64_t{data} << 32,
                status.value};
    }

    constexpr QiType type() const { return static_cast<QiType>(low & 0xf); }
    constexpr Granularity granularity() const { return static_cast<Granularity>(low >> 4 & 3); }
    constexpr Pasid pasid() const { return static_cast<Pasid>(low >> 32 & 0xfffff); }
    constexpr SourceId device() const { return static_cast<SourceId>(low >> 16 & 0xffff); }
    constexpr Hint hint() const { return static_cast<Hint>(high & 1u << 6); }
    constexpr unsigned address_mask() const { return static_cast<unsigned>(high & 0x3f); }
    constexpr VirtAddr address() const { return page_start(VirtAddr{high}); }
    /// The addresses that the hardware takes out of it; those of a wait are empty.
    constexpr VirtRange range() const {
        switch (type()) {
            case QiType::kPasidIotlb:
                if (granularity() == Granularity::kPages)
                    return aligned_pages(address(), address_mask());
                return kAllAddresses;
            case QiType::kPasidDeviceTlb:
                return AtsRange::decode(high);
            case QiType::kPasidCache:
                return kAllAddresses;
            case QiType::kInvalidationWait:
                return {};
        }
        return {};
    }
    constexpr PhysAddr status_address() const { return {high & ~3ull}; }
    constexpr std::uint32_t status_data() const { return static_cast<std::uint32_t>(low >> 32); }

private:
    static constexpr std::uint64_t low_of(QiType type, Granularity granularity) {
        return static_cast<std::uint64_t>(type) | static_cast<std::uint64_t>(granularity) << 4;
    }
    static constexpr std::uint64_t pasid_field(Pasid pasid) { return std::uint64_t{pasid} << 32; }
};

/// Scalable-mode tables. Every entry's first word has its present bit in bit 0.
struct VtdTables {
    static constexpr std::uint64_t kPresent = 1ull << 0;
    static constexpr std::uint64_t kPointer = 0x000ffffffffff000ull;
    static constexpr std::uint64_t kDeviceTlbEnable = 1ull << 2;  ///< context entry, first word
    static constexpr std::uint64_t kPasidEnable = 1ull << 3;      ///< likewise
    static constexpr std::uint64_t kFirstLevelOnly = 1ull << 6;   ///< PGTT of a PASID entry

    /// Word of the root entry that leads to the context table of `device` (lower or upper).
    static constexpr PhysAddr root_word(PhysAddr root_table, SourceId device) {
        return root_table + 16 * (device >> 8) + ((device & 0x80) ? 8 : 0);
    }
    static constexpr PhysAddr context_word(PhysAddr context_table, SourceId device) {
        return context_table + 32 * std::uint64_t{device & 0x7fu};
    }
    static constexpr PhysAddr directory_word(PhysAddr directory, Pasid pasid) {
        return directory + 8 * std::uint64_t{pasid >> 6};
    }
    /// First of the eight words of a PASID entry; the first-level pointer is in its third.
    static constexpr PhysAddr pasid_entry(PhysAddr pasid_table, Pasid pasid) {
        return pasid_table + 64 * std::uint64_t{pasid & 0x3fu};
    }
    static constexpr PhysAddr first_level_word(PhysAddr entry) { return entry + 16; }
};

}  // namespace mmusim::rmap
