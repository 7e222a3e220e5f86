// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/inputs.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace mmusim::platform {

namespace {

/// Operations that reclaim, that reach beyond the program's own pages, that let processes write to
/// what they have shared, or that do file I/O.
constexpr std::string_view kOpenOperations[] = {
    "reclaim", "migrate", "fsync", "msync", "truncate", "punch", "remove", "fork", "childexit"};
constexpr std::string_view kIdle = "swapper/";

bool has_stray_task(const Capture& capture) {
    const auto is_of = [](const std::vector<CaptureTask>& tasks, const std::string& name) {
        return std::any_of(tasks.begin(), tasks.end(),
                           [&](const CaptureTask& task) { return task.name == name; });
    };
    return std::any_of(
        capture.events.begin(), capture.events.end(), [&](const CaptureEvent& event) {
            return !is_of(capture.processes, event.task) && !is_of(capture.threads, event.task) &&
                   event.task.compare(0, kIdle.size(), kIdle) != 0;
        });
}

}  // namespace

const std::array<InputRow, kInputs>& input_table() {
    static const std::array<InputRow, kInputs> table{{
        {"arguments", "of the program that was captured; its events only bind numbers and extents"},
        {"lists", "which pages each list of a reclaimer held, in which order"},
        {"bits", "accessed and dirty bits before their first read, and what threads touch"},
        {"scheduling", "which CPU is lazy or runs which mm; where an interrupt arrives on a CPU"},
        {"results", "of the page allocator, of swap slots, of trylocks and of I/O"},
        {"agents", "faults and work of those who are not part of the operation"},
    }};
    return table;
}

std::size_t total(const InputCounts& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::size_t{0});
}

Inputs::Inputs(const Capture& capture, const WorkloadArguments& arguments)
    : all_(arguments.touch != 0 ||
           std::find(std::begin(kOpenOperations), std::end(kOpenOperations), arguments.op) !=
               std::end(kOpenOperations) ||
           has_stray_task(capture)) {}

}  // namespace mmusim::platform
