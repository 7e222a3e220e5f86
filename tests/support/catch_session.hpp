// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::test {

// Runs the cases that the command line selects and returns the exit code of the program.
int run_cases(int argc, char* argv[]);

}  // namespace mmusim::test
