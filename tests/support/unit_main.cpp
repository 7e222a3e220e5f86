// SPDX-License-Identifier: Apache-2.0
// Runs the cases of plain code; nothing here may pull in SystemC.
#include "tests/support/catch_session.hpp"

int main(int argc, char* argv[]) { return mmusim::test::run_cases(argc, argv); }
