// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tests/support/table_bench.hpp"

// How walkers are set up for tests.

namespace mmusim::test {

/// The formats of both stages that belong together.
struct FormatPair {
    const char* first;
    const char* second;
    /// Whether a table of the first stage lies in one page of the second.
    bool tables_in_one_piece = true;
};
inline constexpr FormatPair kFormatPairs[] = {{"x86-64-4level", "ept-4level"},
                                              {"x86-64-5level", "ept-4level"},
                                              {"arm64-4k", "arm64-4k-stage2"},
                                              {"arm64-16k", "arm64-16k-stage2"},
                                              {"arm64-64k", "arm64-64k-stage2"},
                                              {"sv39", "sv39x4"},
                                              {"sv48", "sv48x4"},
                                              {"arm64-64k", "arm64-4k-stage2", false}};

inline models::WalkerConfig config_of(std::string_view first,
                                      std::string_view second = "ept-4level") {
    models::WalkerConfig config;
    config.start = rmap::nanoseconds(11);
    config.level = rmap::nanoseconds(5);
    config.first.format = rmap::find_page_table_format(first);
    config.second.format = rmap::find_page_table_format(second);
    return config;
}

inline models::WalkCacheConfig cache_of(unsigned level,
                                        rmap::Duration lookup = rmap::nanoseconds(2)) {
    return {"level" + std::to_string(level), level, {16, 4, {}, {}}, lookup};
}

/// A cache for each level that can have one.
inline void add_caches(models::WalkStageConfig& stage) {
    for (unsigned level = 2; level <= stage.format->levels; ++level)
        stage.caches.push_back(cache_of(level));
}

inline models::TlbConfig second_tlb() {
    models::TlbConfig tlb;
    tlb.arrays.push_back({"all", {0, 9}, {16, 4, {}, {}}});
    tlb.lookup = rmap::nanoseconds(3);
    tlb.fill = rmap::nanoseconds(4);
    return tlb;
}

/// The order of the smallest pages.
inline unsigned small(const rmap::PageTableFormat& format) { return format.page_orders().front(); }

inline rmap::FrameNumber aligned(std::uint64_t n, unsigned order) { return {n << order}; }

inline models::TlbScope page_scope(std::uint64_t address,
                                   std::optional<models::SpaceId> space = 1) {
    models::TlbScope scope;
    scope.space = space;
    scope.range = rmap::aligned_pages(rmap::VirtAddr{address}, 0);
    return scope;
}

}  // namespace mmusim::test
