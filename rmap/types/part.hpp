// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "rmap/types/time.hpp"

namespace mmusim::rmap {

/// What a stretch of an operation's time went to. See parts.def.
enum class Part : unsigned char {
#define MMUSIM_PART(enumerator, name, meaning) enumerator,
#include "rmap/types/parts.def"
#undef MMUSIM_PART
};

struct PartInfo {
    std::string_view name;
    std::string_view meaning;
};

inline constexpr PartInfo kPartTable[] = {
#define MMUSIM_PART(enumerator, name, meaning) {name, meaning},
#include "rmap/types/parts.def"
#undef MMUSIM_PART
};
inline constexpr std::size_t kPartCount = sizeof(kPartTable) / sizeof(kPartTable[0]);

constexpr const PartInfo& info(Part part) { return kPartTable[static_cast<std::size_t>(part)]; }

/// A duration per part.
struct PartTimes {
    std::array<Duration, kPartCount> by_part{};

    Duration& operator[](Part part) { return by_part[static_cast<std::size_t>(part)]; }
    Duration operator[](Part part) const { return by_part[static_cast<std::size_t>(part)]; }
    Duration sum() const {
        Duration total;
        for (const auto d : by_part) total += d;
        return total;
    }
    PartTimes& operator+=(const PartTimes& other) {
        for (std::size_t i = 0; i < kPartCount; ++i) by_part[i] += other.by_part[i];
        return *this;
    }
    friend PartTimes operator-(const PartTimes& a, const PartTimes& b) {
        PartTimes result;
        for (std::size_t i = 0; i < kPartCount; ++i)
            result.by_part[i] = a.by_part[i] - b.by_part[i];
        return result;
    }
};

}  // namespace mmusim::rmap
