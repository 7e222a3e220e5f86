// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>

#include <cstdint>
#include <functional>
#include <string>

#include "tests/support/child_run.hpp"
#include "tests/support/test_size.hpp"

namespace mmusim::test {

/// Runs a machine drawn from a seed and says what was seen, with "late N" at the end.
using SeededRun = std::function<std::string(std::uint64_t seed)>;

inline bool is_exact(const std::string& seen) {
    return seen.size() >= 7 && seen.compare(seen.size() - 7, 7, " late 0") == 0;
}

struct CoarseRuns {
    unsigned late = 0;       ///< had a late effect
    unsigned on_time = 0;    ///< had none, and saw the same
    unsigned different = 0;  ///< saw something else than the exact run
};

/// Runs each seed from 1 exactly and coarsely, in children; without a late effect both see the
/// same.
inline CoarseRuns compare_coarse(unsigned seeds, const SeededRun& exact, const SeededRun& coarse) {
    CoarseRuns result;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        const auto expected = run_in_child([&] { return exact(seed); });
        const auto seen = run_in_child([&] { return coarse(seed); });
        ++(is_exact(seen) ? result.on_time : result.late);
        if (is_exact(seen)) CHECK(seen == expected);
        result.different += seen != expected;
    }
    return result;
}

}  // namespace mmusim::test
