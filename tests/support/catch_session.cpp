// SPDX-License-Identifier: Apache-2.0
// Catch itself, compiled once for all programs: it takes longer than any of our files.
#include "tests/support/catch_session.hpp"

#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <catch2/catch.hpp>

namespace mmusim::test {

int run_cases(int argc, char* argv[]) {
    // Catch returns the number of listed cases; 256 of them would wrap to "no tests".
    return std::min(Catch::Session().run(argc, argv), 255);
}

}  // namespace mmusim::test
