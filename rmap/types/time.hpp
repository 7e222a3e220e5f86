// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mmusim::rmap {

/// A length of simulated time: an integer count of picoseconds, so that sums are exact.
struct Duration {
    std::uint64_t ps = 0;

    constexpr Duration& operator+=(Duration other) { return ps += other.ps, *this; }
    constexpr Duration& operator-=(Duration other) { return ps -= other.ps, *this; }
};

/// A point on the simulated time line: picoseconds since the start of the run.
struct Instant {
    std::uint64_t ps = 0;

    constexpr Instant& operator+=(Duration d) { return ps += d.ps, *this; }
};

/// Later than every instant of a run; also "not known yet".
inline constexpr Instant kNever{~std::uint64_t{0}};

constexpr Duration picoseconds(std::uint64_t n) { return {n}; }
constexpr Duration nanoseconds(std::uint64_t n) { return {n * 1000}; }

constexpr Duration operator+(Duration a, Duration b) { return {a.ps + b.ps}; }
constexpr Duration operator-(Duration a, Duration b) { return {a.ps - b.ps}; }
constexpr Duration operator*(Duration a, std::uint64_t n) { return {a.ps * n}; }
constexpr Instant operator+(Instant a, Duration d) { return {a.ps + d.ps}; }
constexpr Duration operator-(Instant a, Instant b) { return {a.ps - b.ps}; }

constexpr bool operator==(Duration a, Duration b) { return a.ps == b.ps; }
constexpr bool operator!=(Duration a, Duration b) { return a.ps != b.ps; }
constexpr bool operator<(Duration a, Duration b) { return a.ps < b.ps; }
constexpr bool operator<=(Duration a, Duration b) { return a.ps <= b.ps; }
constexpr bool operator>(Duration a, Duration b) { return a.ps > b.ps; }
constexpr bool operator>=(Duration a, Duration b) { return a.ps >= b.ps; }
constexpr bool operator==(Instant a, Instant b) { return a.ps == b.ps; }
constexpr bool operator!=(Instant a, Instant b) { return a.ps != b.ps; }
constexpr bool operator<(Instant a, Instant b) { return a.ps < b.ps; }
constexpr bool operator<=(Instant a, Instant b) { return a.ps <= b.ps; }
constexpr bool operator>(Instant a, Instant b) { return a.ps > b.ps; }
constexpr bool operator>=(Instant a, Instant b) { return a.ps >= b.ps; }

/// `later - earlier`, or zero when the order is the other way round.
constexpr Duration time_until(Instant earlier, Instant later) {
    return later > earlier ? later - earlier : Duration{};
}
constexpr Instant max(Instant a, Instant b) { return a < b ? b : a; }
constexpr Instant min(Instant a, Instant b) { return b < a ? b : a; }
constexpr Duration max(Duration a, Duration b) { return a < b ? b : a; }
constexpr Duration min(Duration a, Duration b) { return b < a ? b : a; }

}  // namespace mmusim::rmap
