// SPDX-License-Identifier: Apache-2.0
// Runs the cases of plain code; nothing here may pull in SystemC.
#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <catch2/catch.hpp>

int main(int argc, char* argv[]) {
    // Catch returns the number of listed cases; 256 of them would wrap to "no tests".
    return std::min(Catch::Session().run(argc, argv), 255);
}
