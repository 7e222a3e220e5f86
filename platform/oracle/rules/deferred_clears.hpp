// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "platform/oracle/rules/clear_index.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// A PTE that was cleared while its flush was put off.
struct DeferredClear {
    rmap::ActorId actor = rmap::kNoActor;
    rmap::MmId mm = 0;
    rmap::VirtAddr address{};
    rmap::FrameNumber frame{};
    rmap::Generation generation = 0;
    bool dirty = false;
    bool flushed = false;
    std::uint64_t cpumask = 0;   ///< CPUs that may hold it, first word; 0 when not recorded
    std::uint64_t left_out = 0;  ///< of those, the ones that the actor's batch flush left out
    rmap::Instant time;
};

/// "mm 2 va 0x1000 -> pfn 0x1a2b gen 4".
std::string translation_text(const DeferredClear& clear);

/// "mm 2 va 0x1000 was cleared with its flush deferred at 12 ns", and whom a batch flush left out.
std::string describe(const DeferredClear& clear);

/// Which deferred flushes are still owed. A clear is flushed when a batch flush of the same actor
/// to all CPUs that it concerns returns, or any flush_tlb_mm_range over its address does that
/// began after it. Forgets the oldest clears beyond kMonitorCapacity.
class DeferredClears {
public:
    static const std::vector<rmap::Event>& events();
    void on_record(const rmap::EventRecord& record);

    /// The clears of mappings of `frame`, oldest first.
    std::vector<DeferredClear> of(rmap::FrameNumber frame) const { return clears_.of(frame, 0); }

    /// Those of `mm` whose flush is owed, by address.
    std::vector<DeferredClear> owed(rmap::MmId mm) const;

    /// The frame has a new life.
    void forget(rmap::FrameNumber frame);

private:
    using Id = ClearIndex<DeferredClear>::Id;
    struct OpenFlush {
        bool batch = false;
        Id before = 0;  ///< clears with smaller ids were there when it began
        std::uint64_t cpumask = 0;
        rmap::MmId mm = 0;
        rmap::VirtRange range{};
    };

    void add(const rmap::EventRecord& record);
    void add_cpumask(const rmap::EventRecord& record);
    void finish_batch(rmap::ActorId actor, const OpenFlush& flush);
    void finish_range(const OpenFlush& flush);
    void settle(Id id);
    void erase(Id id);

    ClearIndex<DeferredClear> clears_;  ///< owed: the flush
    std::set<std::pair<rmap::ActorId, Id>> owed_by_actor_;
    std::map<rmap::ActorId, OpenFlush> open_;
};

}  // namespace mmusim::platform
