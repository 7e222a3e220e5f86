// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace mmusim::test {

/// Runs `work` in a child process and returns what it returned, or "failed: ..." when it threw or
/// died. SystemC elaborates once per process, and comparing runs needs several.
std::string run_in_child(const std::function<std::string()>& work);

}  // namespace mmusim::test
