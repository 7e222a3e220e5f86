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
    kClearOutsideSection,
    kEndWithoutStart,
    kEndAfterRefusal,
    kStartUnderLock,
    kUnlockInsideSection,
    kInstallInSection,
    kSkipRetryCheck,
    kCountBeforeSequence,
    kZapBeforeCount,
    kFreeBeforeSection,
    kSkipInvalidateRange,
    kOnlyEnd,
    kInvalidateBeforeClear,
    kSkipIommuWait,
    kSkipSecondaryAging,
    kSecondSection,
    kAtcBeforeIotlb,
    kCompleteBeforeDma,
    kSkipKick,
    kKeepGrant,
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
    {InjectedFault::kClearOutsideSection, "clear-outside-section",
     "try_to_unmap opens the notifier section only after it has cleared the entry"},
    {InjectedFault::kEndWithoutStart, "end-without-start",
     "try_to_unmap ends a notifier section that it never started"},
    {InjectedFault::kEndAfterRefusal, "end-after-refusal",
     "the OOM reaper ends a section that a client has refused to start"},
    {InjectedFault::kStartUnderLock, "start-under-lock",
     "try_to_unmap starts the section with the page-table lock held"},
    {InjectedFault::kUnlockInsideSection, "unlock-inside-section",
     "munmap gives mmap_sem back before it ends the section"},
    {InjectedFault::kInstallInSection, "install-in-section",
     "KVM's retry check looks at the sequence but not at the count of open sections"},
    {InjectedFault::kSkipRetryCheck, "skip-retry-check",
     "KVM makes a second-stage entry without any retry check"},
    {InjectedFault::kCountBeforeSequence, "count-before-sequence",
     "the end of a section lowers KVM's count before it raises the sequence"},
    {InjectedFault::kZapBeforeCount, "zap-before-count",
     "the start of a section removes KVM's entries before it raises the count"},
    {InjectedFault::kFreeBeforeSection, "free-before-section",
     "munmap gives a page back before it starts the section in which it unmaps it"},
    {InjectedFault::kSkipInvalidateRange, "skip-invalidate-range",
     "try_to_unmap of an anonymous page leaves out invalidate_range under the lock"},
    {InjectedFault::kOnlyEnd, "only-end",
     "try_to_unmap ends its section without the invalidate_range that belongs to it"},
    {InjectedFault::kInvalidateBeforeClear, "invalidate-before-clear",
     "try_to_unmap calls invalidate_range before it clears the entry instead of after"},
    {InjectedFault::kSkipIommuWait, "skip-iommu-wait",
     "the driver posts its invalidations and does not wait for them"},
    {InjectedFault::kSkipSecondaryAging, "skip-secondary-aging",
     "aging asks the notifier clients only if the CPU's own accessed bit was set"},
    {InjectedFault::kSecondSection, "second-section",
     "try_to_unmap opens and closes a section once more for the same VMA"},
    {InjectedFault::kAtcBeforeIotlb, "atc-before-iotlb",
     "the driver invalidates the device TLB before the IOTLB"},
    {InjectedFault::kCompleteBeforeDma, "complete-before-dma",
     "the device completes an invalidation while DMA through it is in flight"},
    {InjectedFault::kSkipKick, "skip-kick",
     "kvm_flush_remote_tlbs leaves its requests but stops no vCPU"},
    {InjectedFault::kKeepGrant, "keep-grant",
     "a core goes on using a translation that its first TLB has withdrawn"},
};

constexpr std::optional<InjectedFault> injected_fault(std::string_view name) {
    for (const auto& row : kInjectedFaults)
        if (row.name == name) return row.fault;
    return std::nullopt;
}

}  // namespace mmusim::rmap
