// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "platform/trace/reference.hpp"

namespace mmusim::platform {

// The binary trace, version 1. All numbers are little-endian.
//
//   file    = header block... end
//   header  16 bytes   0..7  "mmutrace"    8..11 version, 1    12..15 zero
//   block              0..3  references in it, n: 1 to 4096
//                      4..7  bytes of its addresses, m
//                      then  n bytes, the tag of each reference in turn
//                      then  m bytes, the addresses of those whose tag asks for any, in turn
//   end     16 bytes   0..3  zero    4..7 eight    8..15 references of the whole trace
//
//   tag     bits 0..1  kind: 0 fetch, 1 load, 2 store, 3 modify
//           bits 2..3  bytes of the address: 0 none, 1 one, 2 two, 3 four
//           bits 4..7  size of the reference: 1 to 12 the size itself, 13 to 15 sizes 16, 32, 64;
//                      0 a long reference: bits 2..3 are 0, and its address has ten bytes: two of
//                      the size (not 0), eight of the address
//
//   Other addresses are differences from what is expected: for a fetch the end of the last fetch,
//   else the address of the last reference of the same kind; 0 at the beginning of a block. The
//   difference d (modulo 2^64) is written as 2d if it is not negative, else as -2d - 1; no bytes
//   mean 0.
//
// Tags and addresses are apart, and a block begins anew, so that decoding waits for nothing and
// blocks can be skipped. Typical are two bytes for a reference.

inline constexpr std::string_view kBinaryMagic{"mmutrace"};
inline constexpr std::uint32_t kBinaryVersion = 1;
inline constexpr std::size_t kBinaryHeaderSize = 16;
inline constexpr std::size_t kBlockHeaderSize = 8;
inline constexpr std::size_t kBlockReferences = 4096;
inline constexpr std::size_t kLongAddressSize = 10;
inline constexpr std::size_t kEndSize = 8;  ///< after its block header

/// By bits 2..3 of a tag.
inline constexpr std::array<std::uint8_t, 4> kAddressBytes = {0, 1, 2, 4};
/// By bits 4..7 of a tag.
inline constexpr std::array<std::uint8_t, 16> kTagSizes = {0, 1, 2,  3,  4,  5,  6,  7,
                                                           8, 9, 10, 11, 12, 16, 32, 64};
inline constexpr unsigned kLongTagSize = 0;

/// Where the next reference of each kind is expected, within a block.
using ExpectedAddresses = std::array<std::uint64_t, kReferenceKinds>;
/// From a reference's address to where the next one of its kind is expected.
constexpr std::uint16_t distance_to_next(ReferenceKind kind, std::uint16_t size) {
    return kind == ReferenceKind::kFetch ? size : 0;
}

/// Eight bytes of `from`, as one instruction on most machines.
inline std::uint64_t load_little_endian(const char* from) {
    std::uint64_t value = 0;
    std::memcpy(&value, from, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}
/// `bytes` of `from`, at most eight.
inline std::uint64_t load_little_endian(const char* from, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i)
        value |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
    return value;
}
inline void store_little_endian(char* to, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) to[i] = static_cast<char>(value >> (8 * i));
}

/// Differences of either sign as numbers, small ones as small numbers.
constexpr std::uint64_t folded(std::uint64_t difference) {
    return (difference << 1) ^ (0 - (difference >> 63));
}
constexpr std::uint64_t unfolded(std::uint64_t number) {
    return (number >> 1) ^ (0 - (number & 1));
}

}  // namespace mmusim::platform
