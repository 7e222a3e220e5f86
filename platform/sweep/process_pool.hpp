// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "platform/sweep/child_process.hpp"

namespace mmusim::platform {

/// A program to be run.
struct PoolTask {
    std::string program;
    std::vector<std::string> arguments;
};

struct PoolOptions {
    unsigned processes = 1;                  ///< at the same time, at least 1
    const std::atomic<bool>& stop;           ///< once true, what runs is killed
    std::function<void(std::size_t)> watch;  ///< called often, with the number of finished tasks
    /// Called for each process that was killed, after its end.
    std::function<void(std::size_t task, pid_t process)> killed;
};

/// Runs all tasks and returns how they ended, in their order; nothing for those that did not end
/// by themselves. Throws UserError when one cannot be started; what runs is killed then.
std::vector<std::optional<Ending>> run_tasks(const std::vector<PoolTask>& tasks,
                                             const PoolOptions& options);

}  // namespace mmusim::platform
