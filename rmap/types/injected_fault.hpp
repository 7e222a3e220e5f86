// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace mmusim::rmap {

/// Bugs that can be switched on to see the oracle catch them. One row of kInjectedFaults each.
enum class InjectedFault : unsigned char {
    kNone,
    kSkipBatchFlush,
    kFreeBeforeFlush,
    kDropIpiTarget,
    kShrinkRange,
    kAckBeforeHandler,
};

struct InjectedFaultInfo {
    InjectedFault fault;
    std::string_view name;
    std::string_view meaning;
};

inline constexpr InjectedFaultInfo kInjectedFaults[] = {
    {InjectedFault::kNone, "none", "the kernel as it is"},
    {InjectedFault::kSkipBatchFlush, "skip-batch-flush",
     "try_to_unmap_flush forgets what it should flush"},
    {InjectedFault::kFreeBeforeFlush, "free-before-flush",
     "the list of unmapped pages is freed before the batch is flushed"},
    {InjectedFault::kDropIpiTarget, "drop-ipi-target",
     "the highest CPU of a shootdown is neither interrupted nor waited for"},
    {InjectedFault::kShrinkRange, "shrink-range",
     "a range flush leaves out its last page; a flush of one page flushes its neighbour"},
    {InjectedFault::kAckBeforeHandler, "ack-before-handler",
     "a target acknowledges on entry, before it has invalidated anything"},
};

constexpr std::optional<InjectedFault> injected_fault(std::string_view name) {
    for (const auto& row : kInjectedFaults)
        if (row.name == name) return row.fault;
    return std::nullopt;
}

}  // namespace mmusim::rmap
