// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/pte.hpp"

namespace mmusim::rmap {

class Cpu;

/// struct mmu_notifier_range of v5.0: no event type and no VMA.
struct NotifierRange {
    MmId mm = 0;
    VirtRange range{};
    bool blockable = true;
};

/// Result of a start. -EAGAIN is legal only for a range that is not blockable.
enum class StartResult : unsigned char { kDone, kTryAgain };

/// The MMU-notifier calls that the mm code makes (include/linux/mmu_notifier.h). All of them may
/// let time pass; each returns when every client has finished its own flush.
class InvalidationPort {
public:
    virtual ~InvalidationPort() = default;

    /// mm_has_notifiers(): true from the first registration until the mm dies.
    virtual bool mm_has_notifiers(MmId mm) const = 0;

    /// mmu_notifier_invalidate_range_start(). Not under a page-table lock.
    virtual void invalidate_range_start(Cpu& cpu, const NotifierRange& range) = 0;
    /// mmu_notifier_invalidate_range_start_nonblock(): all clients are called even after one has
    /// refused. After kTryAgain the caller must not call the end. `range` is not blockable.
    virtual StartResult invalidate_range_start_nonblock(Cpu& cpu, const NotifierRange& range) = 0;
    /// mmu_notifier_invalidate_range_end(): per client invalidate_range, then the end callback.
    virtual void invalidate_range_end(Cpu& cpu, const NotifierRange& range) = 0;
    /// mmu_notifier_invalidate_range_only_end(): the end callback alone.
    virtual void invalidate_range_only_end(Cpu& cpu, const NotifierRange& range) = 0;
    /// mmu_notifier_invalidate_range(). Under the page-table lock; clients may not sleep.
    virtual void invalidate_range(Cpu& cpu, MmId mm, VirtRange range) = 0;
    /// __mmu_notifier_release(): the mm's last user has gone. Every client is released, and later
    /// calls for this mm find none; those under way on other CPUs are over on return. May sleep.
    virtual void release(Cpu& cpu, MmId mm) = 0;
    /// mmu_notifier_clear_flush_young(). True if any client saw the range accessed.
    virtual bool clear_flush_young(Cpu& cpu, MmId mm, VirtRange range) = 0;
    /// mmu_notifier_clear_young(): the same, but clients need not flush.
    virtual bool clear_young(Cpu& cpu, MmId mm, VirtRange range) = 0;
    /// mmu_notifier_change_pte(): the entry of `address`, cleared and flushed, is about to become
    /// `pte`, which maps `generation` of its frame. Under the page-table lock.
    virtual void change_pte(Cpu& cpu, MmId mm, VirtAddr address, Pte pte,
                            Generation generation) = 0;
};

}  // namespace mmusim::rmap
