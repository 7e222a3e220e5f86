// SPDX-License-Identifier: Apache-2.0
#include "platform/sweep/process_pool.hpp"

#include <poll.h>

#include <utility>

namespace mmusim::platform {
namespace {

constexpr int kWatchMs = 100;

struct Running {
    std::size_t task;
    ChildProcess process;
};

/// Waits until one of them has something to say, and at most kWatchMs.
std::vector<pollfd> poll_all(const std::vector<Running>& running) {
    std::vector<pollfd> descriptors;
    for (const auto& one : running) descriptors.push_back({one.process.descriptor(), POLLIN, 0});
    // After a signal nothing is ready, and the caller looks at its flag.
    if (::poll(descriptors.data(), descriptors.size(), kWatchMs) < 0)
        for (auto& descriptor : descriptors) descriptor.revents = 0;
    return descriptors;
}

}  // namespace

std::vector<std::optional<Ending>> run_tasks(const std::vector<PoolTask>& tasks,
                                             const PoolOptions& options) {
    std::vector<std::optional<Ending>> endings(tasks.size());
    std::vector<Running> running;
    std::size_t next = 0;
    std::size_t finished = 0;
    while (finished < tasks.size() && !options.stop) {
        while (next < tasks.size() && running.size() < options.processes) {
            running.push_back({next, ChildProcess(tasks[next].program, tasks[next].arguments)});
            ++next;
        }
        const auto ready = poll_all(running);
        // From the back, so that taking one out moves none that is still to be looked at.
        for (std::size_t i = running.size(); i-- > 0;) {
            if (ready[i].revents == 0 || running[i].process.read()) continue;
            endings[running[i].task] = running[i].process.wait();
            running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
            ++finished;
        }
        options.watch(finished);
    }
    while (!running.empty()) {
        const auto [task, process] = std::pair(running.back().task, running.back().process.id());
        running.pop_back();
        options.killed(task, process);
    }
    return endings;
}

}  // namespace mmusim::platform
