// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// What a program does with memory, by lackey's letters.
enum class ReferenceKind : std::uint8_t {
    kFetch,   ///< I: an instruction
    kLoad,    ///< L
    kStore,   ///< S
    kModify,  ///< M: a load and a store of one instruction at the same place
};
inline constexpr std::size_t kReferenceKinds = 4;

/// One reference of a trace.
struct Reference {
    rmap::VirtAddr address{};
    std::uint16_t size = 0;  ///< bytes, at least one
    ReferenceKind kind{};

    friend bool operator==(const Reference& a, const Reference& b) {
        return a.address == b.address && a.size == b.size && a.kind == b.kind;
    }
};
inline constexpr unsigned kMaxReferenceSize = 0xffff;  ///< bytes

/// Some references in the order of their trace; whoever hands them out says how long they live.
struct References {
    const Reference* first = nullptr;
    const Reference* last = nullptr;

    const Reference* begin() const { return first; }
    const Reference* end() const { return last; }
    std::size_t size() const { return static_cast<std::size_t>(last - first); }
    bool empty() const { return first == last; }
};

}  // namespace mmusim::platform
