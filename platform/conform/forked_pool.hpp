// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mmusim::platform {

/// What a forked process left behind.
struct ForkedResult {
    std::optional<std::string> output;  ///< what its task returned; none: it failed
    std::string error;                  ///< why, in one line
};

/// Runs each of `count` tasks in a process of its own that is forked from this one, `processes` of
/// them at the same time, and returns the results in the order of the tasks: for what can be done
/// only once per process. A task that throws has failed, and so has one whose process dies.
/// `watch` is called with the number of finished tasks.
std::vector<ForkedResult> run_forked(std::size_t count, unsigned processes,
                                     const std::function<std::string(std::size_t)>& task,
                                     const std::function<void(std::size_t)>& watch);

}  // namespace mmusim::platform
