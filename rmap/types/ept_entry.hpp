// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/address.hpp"

namespace mmusim::rmap {

using GuestPhysAddr = Tagged<struct GuestPhysAddrKind>;  ///< byte address in a VM's memory

/// A second-stage entry in EPT format with accessed and dirty bits in use (Intel SDM vol. 3,
/// 28.3.2, tables 28-1 to 28-6).
class EptEntry {
public:
    static constexpr std::uint64_t kRead = 1ull << 0;
    static constexpr std::uint64_t kWrite = 1ull << 1;
    static constexpr std::uint64_t kExecute = 1ull << 2;
    static constexpr std::uint64_t kWriteBack = 6ull << 3;  ///< memory type of a leaf
    static constexpr std::uint64_t kLargePage = 1ull << 7;  ///< in a level-2 entry: maps 2 MiB
    static constexpr std::uint64_t kAccessed = 1ull << 8;
    static constexpr std::uint64_t kDirty = 1ull << 9;
    static constexpr std::uint64_t kFrameMask = 0x000ffffffffff000ull;

    constexpr EptEntry() = default;
    constexpr explicit EptEntry(std::uint64_t raw) : raw_(raw) {}
    static constexpr EptEntry table(FrameNumber frame) {
        return EptEntry{address_of(frame).value | kRead | kWrite | kExecute};
    }
    static constexpr EptEntry leaf(FrameNumber frame, bool writable) {
        return EptEntry{address_of(frame).value | kRead | kExecute | kWriteBack |
                        (writable ? kWrite : 0)};
    }

    constexpr std::uint64_t raw() const { return raw_; }
    constexpr bool present() const { return raw_ & (kRead | kWrite | kExecute); }
    constexpr bool writable() const { return raw_ & kWrite; }
    constexpr bool executable() const { return raw_ & kExecute; }
    constexpr bool large() const { return raw_ & kLargePage; }
    constexpr bool accessed() const { return raw_ & kAccessed; }
    constexpr bool dirty() const { return raw_ & kDirty; }
    constexpr FrameNumber frame() const { return frame_of(PhysAddr{raw_ & kFrameMask}); }
    constexpr EptEntry with(std::uint64_t flags) const { return EptEntry{raw_ | flags}; }
    constexpr EptEntry without(std::uint64_t flags) const { return EptEntry{raw_ & ~flags}; }

    friend constexpr bool operator==(EptEntry a, EptEntry b) { return a.raw_ == b.raw_; }
    friend constexpr bool operator!=(EptEntry a, EptEntry b) { return a.raw_ != b.raw_; }

private:
    std::uint64_t raw_ = 0;
};

inline constexpr unsigned kEptLevels = 4;

/// Index into the second-stage table of `level` (4 = root ... 1 = 4 KiB entries).
constexpr unsigned table_index(GuestPhysAddr address, unsigned level) {
    return static_cast<unsigned>(address.value >> (kPageShift + 9 * (level - 1)) & 511);
}
constexpr PhysAddr entry_address(FrameNumber table, GuestPhysAddr address, unsigned level) {
    return address_of(table) + 8 * table_index(address, level);
}

}  // namespace mmusim::rmap
