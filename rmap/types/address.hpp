// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace mmusim::rmap {

inline constexpr unsigned kPageShift = 12;
inline constexpr std::uint64_t kPageSize = 1ull << kPageShift;
inline constexpr unsigned kLargeOrder = 9;  ///< a 2 MiB page is 2^9 pages of 4 KiB
inline constexpr std::uint64_t kLargePages = 1ull << kLargeOrder;
inline constexpr std::uint64_t kLargeSize = kLargePages * kPageSize;
inline constexpr unsigned kLineShift = 6;
inline constexpr std::uint64_t kLineSize = 1ull << kLineShift;

/// An address or a page number of one kind; kinds do not mix.
template <class Kind>
struct Tagged {
    std::uint64_t value = 0;

    friend constexpr bool operator==(Tagged a, Tagged b) { return a.value == b.value; }
    friend constexpr bool operator!=(Tagged a, Tagged b) { return a.value != b.value; }
    friend constexpr bool operator<(Tagged a, Tagged b) { return a.value < b.value; }
    friend constexpr bool operator<=(Tagged a, Tagged b) { return a.value <= b.value; }
    friend constexpr bool operator>(Tagged a, Tagged b) { return a.value > b.value; }
    friend constexpr bool operator>=(Tagged a, Tagged b) { return a.value >= b.value; }
    friend constexpr Tagged operator+(Tagged a, std::uint64_t n) { return {a.value + n}; }
    friend constexpr std::uint64_t operator-(Tagged a, Tagged b) { return a.value - b.value; }
};

using VirtAddr = Tagged<struct VirtAddrKind>;        ///< byte address in a process
using PhysAddr = Tagged<struct PhysAddrKind>;        ///< byte address in simulated memory
using PageNumber = Tagged<struct PageNumberKind>;    ///< VirtAddr >> 12
using FrameNumber = Tagged<struct FrameNumberKind>;  ///< PhysAddr >> 12; the kernel's pfn
using LineNumber = Tagged<struct LineNumberKind>;    ///< PhysAddr >> 6

constexpr PageNumber page_of(VirtAddr a) { return {a.value >> kPageShift}; }
constexpr FrameNumber frame_of(PhysAddr a) { return {a.value >> kPageShift}; }
constexpr LineNumber line_of(PhysAddr a) { return {a.value >> kLineShift}; }
constexpr VirtAddr address_of(PageNumber n) { return {n.value << kPageShift}; }
constexpr PhysAddr address_of(FrameNumber n) { return {n.value << kPageShift}; }
constexpr VirtAddr page_start(VirtAddr a) { return {a.value & ~(kPageSize - 1)}; }

/// Half-open range of user addresses; `end` = kAllAddresses.end means "up to the top".
struct VirtRange {
    VirtAddr start{};
    VirtAddr end{};

    constexpr bool contains(VirtAddr a) const { return start <= a && a < end; }
    constexpr bool covers(VirtRange r) const { return start <= r.start && r.end <= end; }
    constexpr bool overlaps(VirtRange r) const { return start < r.end && r.start < end; }
    constexpr std::uint64_t pages() const { return (end - start) >> kPageShift; }
    friend constexpr bool operator==(VirtRange a, VirtRange b) {
        return a.start == b.start && a.end == b.end;
    }
};
inline constexpr VirtRange kAllAddresses{{0}, {~std::uint64_t{0}}};  ///< TLB_FLUSH_ALL

/// The 2^order naturally aligned pages that `address` is in.
constexpr VirtRange aligned_pages(VirtAddr address, unsigned order) {
    if (order >= 64 - kPageShift) return kAllAddresses;
    const std::uint64_t size = kPageSize << order;
    const VirtAddr start{address.value & ~(size - 1)};
    return {start, start + size};
}

}  // namespace mmusim::rmap

template <class Kind>
struct std::hash<mmusim::rmap::Tagged<Kind>> {
    std::size_t operator()(mmusim::rmap::Tagged<Kind> t) const noexcept {
        return std::hash<std::uint64_t>{}(t.value * 0x9e3779b97f4a7c15ull);
    }
};
