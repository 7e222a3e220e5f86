// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/walker/walker_stats.hpp"
#include "platform/oracle/verdict.hpp"
#include "platform/report/latency_histogram.hpp"
#include "platform/trace/reference.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// What an MMU is asked for, as everything here is counted: by rmap::Access.
inline constexpr std::size_t kAccessKinds = 3;
inline constexpr std::array<rmap::Access, kAccessKinds> kAllAccesses = {
    rmap::Access::kExecute, rmap::Access::kRead, rmap::Access::kWrite};
constexpr std::string_view name(rmap::Access access) {
    switch (access) {
        case rmap::Access::kRead:
            return "read";
        case rmap::Access::kWrite:
            return "write";
        case rmap::Access::kExecute:
            return "fetch";
    }
    return "";
}
template <class T>
struct ByAccess {
    std::array<T, kAccessKinds> values{};
    T& operator[](rmap::Access access) { return values[static_cast<std::size_t>(access)]; }
    const T& operator[](rmap::Access access) const {
        return values[static_cast<std::size_t>(access)];
    }
};

struct TlbCounts {
    std::string name;  ///< "dtlb"
    unsigned level = 1;
    struct Counts {
        std::uint64_t lookups = 0;
        std::uint64_t misses = 0;
        std::uint64_t hits() const { return lookups - misses; }
    };
    ByAccess<Counts> by_access;  ///< what it does not serve is 0

    Counts total() const {
        Counts all;
        for (const auto& counts : by_access.values) {
            all.lookups += counts.lookups;
            all.misses += counts.misses;
        }
        return all;
    }
};

/// Everything that the translation of a trace found out.
struct TranslateResult {
    bool stopped = false;  ///< before the end of the trace
    rmap::Duration simulated;
    std::array<std::uint64_t, kReferenceKinds> references{};  ///< by ReferenceKind
    std::uint64_t straddling = 0;                             ///< of them, with several pages
    std::uint64_t skipped_lines = 0;                          ///< of the trace, no references
    unsigned page_order = 0;
    std::uint64_t pages = 0;        ///< of that size, touched
    std::uint64_t table_pages = 0;  ///< of 4 KiB, of page tables
    std::vector<TlbCounts> tlbs;    ///< by level
    models::WalkerStats walks;
    struct WalkCacheHits {
        std::string name;  ///< "pde"
        unsigned level = 0;
        std::uint64_t hits = 0;  ///< walks that began there; each walk asks all caches
    };
    std::vector<WalkCacheHits> walk_caches;
    LatencyHistogram latency;  ///< of translations
    OracleReport oracle;

    std::uint64_t instructions() const {
        return references[static_cast<std::size_t>(ReferenceKind::kFetch)];
    }
    std::uint64_t all_references() const {
        std::uint64_t all = 0;
        for (const auto count : references) all += count;
        return all;
    }
};

}  // namespace mmusim::platform
