// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "rmap/ports/cpu.hpp"
#include "rmap/ports/invalidation_port.hpp"

namespace mmusim::notifiers {

/// Which callbacks a client has: the non-null members of struct mmu_notifier_ops, as far as the
/// engine calls them. What it does not have is not called and costs nothing.
struct NotifierOps {
    bool release = false;
    bool clear_flush_young = false;
    bool invalidate_range_start = false;
    bool invalidate_range_end = false;
    bool invalidate_range = false;
    bool clear_young = false;
    bool change_pte = false;
};

using rmap::StartResult;

/// A secondary MMU's side of struct mmu_notifier (include/linux/mmu_notifier.h, v5.0). Every
/// callback runs on the CPU that changes the page tables and spends its own time there. When it
/// returns, the client's flush is complete, not merely asked for. Ranges are half open.
class NotifierClient {
public:
    virtual ~NotifierClient() = default;

    virtual std::string_view name() const = 0;
    virtual NotifierOps ops() const = 0;

    /// The address space goes away, or the client was unregistered: drop everything and refuse
    /// new translations. May sleep.
    virtual void release(rmap::Cpu&, rmap::MmId) {}

    /// The range is going to change: nobody may use a translation of it from the return of this
    /// until invalidate_range_end. Sections overlap and nest; clients count them. May sleep
    /// (take a mutex) only if the range is blockable.
    virtual StartResult invalidate_range_start(rmap::Cpu&, const rmap::NotifierRange&) {
        return StartResult::kDone;
    }
    /// The change is over. The pages may already be free.
    virtual void invalidate_range_end(rmap::Cpu&, const rmap::NotifierRange&) {}

    /// For clients whose device walks the CPU's own tables: drop what is cached of the range.
    /// May run under the page-table lock: no sleeping, no locks of the mm. May come for part of a
    /// section, or outside any.
    virtual void invalidate_range(rmap::Cpu&, rmap::MmId, rmap::VirtRange) {}

    /// Tests and clears the accessed bits of the range. Under the page-table lock. True if any
    /// was set.
    virtual bool clear_flush_young(rmap::Cpu&, rmap::MmId, rmap::VirtRange) { return false; }

    /// The same, but what TLBs hold may stay: an access through it is noticed later, or not at all.
    virtual bool clear_young(rmap::Cpu&, rmap::MmId, rmap::VirtRange) { return false; }

    /// The page of `address`, whose old entry is gone from the CPUs' TLBs, is about to be mapped by
    /// `pte`, to `generation` of its frame. Inside a section, under the page-table lock.
    virtual void change_pte(rmap::Cpu&, rmap::MmId, rmap::VirtAddr, rmap::Pte, rmap::Generation) {}
};

}  // namespace mmusim::notifiers
