// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "platform/conform/capture.hpp"
#include "platform/conform/workload_arguments.hpp"

namespace mmusim::platform {

/// All that a replay may take from a capture. Never: branches, flags, ranges, kinds of entries,
/// results of functions that are modelled, the order of events on one CPU.
enum class Input : unsigned char {
    kArguments,  ///< of the program that was captured; events only bind numbers and extents
    kLists,      ///< of a reclaimer: pages, order and count
    kBits,       ///< accessed and dirty, before they are read first or while threads touch the page
    kScheduling,   ///< which CPU is lazy or runs the mm; where an interrupt arrives on a CPU
    kResults,      ///< of the allocator, swap slots, trylocks and I/O
    kOtherAgents,  ///< faults and work of those who are not of the operation
};
inline constexpr std::size_t kInputs = 6;

struct InputRow {
    std::string_view name;
    std::string_view meaning;
};
const std::array<InputRow, kInputs>& input_table();

/// How often each was taken. The arguments are not counted: every replay takes them.
using InputCounts = std::array<std::size_t, kInputs>;
std::size_t total(const InputCounts& counts);

/// What a capture gives to its replay. One in which nobody but its processes acts gives its
/// arguments and the scheduling, and no more.
class Inputs {
public:
    Inputs(const Capture& capture, const WorkloadArguments& arguments);

    bool allows(Input input) const {
        return all_ || input == Input::kArguments || input == Input::kScheduling;
    }
    void count(Input input) { ++counts_[static_cast<std::size_t>(input)]; }
    const InputCounts& counts() const { return counts_; }

private:
    const bool all_;
    InputCounts counts_{};
};

}  // namespace mmusim::platform
