// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// One use of a cached translation, for the observers.
struct AccessRecord {
    rmap::Instant time;    ///< when the access is done
    rmap::Instant filled;  ///< when the entry's PTE was read
    rmap::PageNumber page{};
    rmap::FrameNumber frame{};
    rmap::Generation generation = 0;
    rmap::Access access{};
    rmap::MmId mm = 0;  ///< address space that the core or device uses; a guest: its process
    rmap::VmId vm = 0;  ///< the guest whose virtual `page` is; 0 = none
};

/// Uses of cached translations by one agent, in ascending time. Most are alike but for their time.
class AccessBatch {
public:
    /// What uses are alike that differ in their time only. Ids ascend and never come again.
    using KindId = std::uint64_t;
    struct Use {
        rmap::Instant time;
        KindId kind = 0;
    };
    /// `time` in them means nothing.
    struct Kinds {
        KindId first = 1;  ///< id of the front; those before it are forgotten
        std::vector<AccessRecord> records;
    };

    AccessBatch(const Use* first, const Use* last, const Kinds& kinds)
        : first_(first), last_(last), kinds_(kinds) {}

    /// All that its uses are of, and maybe others.
    const std::vector<AccessRecord>& kinds() const { return kinds_.records; }
    std::size_t size() const { return static_cast<std::size_t>(last_ - first_); }

    /// f(record) for each use.
    template <class F>
    void for_each(F&& f) const {
        for (const Use* use = first_; use != last_; ++use) f(record_of(*use, kinds_));
    }
    static AccessRecord record_of(const Use& use, const Kinds& kinds) {
        AccessRecord record = kinds.records[use.kind - kinds.first];
        record.time = use.time;
        return record;
    }

private:
    const Use* first_;
    const Use* last_;
    const Kinds& kinds_;
};

/// A use of a cached translation where a walk at the same time, through no cache, would have ended
/// otherwise.
struct WalkDifference {
    enum class What : unsigned char {
        kNotMapped,   ///< in a fault
        kOtherFrame,  ///< at another frame
        kNotAllowed,  ///< in a fault, since the access is not allowed any more
        kClean,       ///< at a leaf that is not dirty, though the cached one stored without a walk
    };
    AccessRecord use;
    What what{};
};

/// Judges accesses. Called with those of one agent in ascending time, only for times that kernel
/// time has passed, so that everything that could make them wrong is known.
class AccessObserver {
public:
    virtual ~AccessObserver() = default;
    virtual void judge(rmap::ActorId agent, const AccessBatch& uses) = 0;
    /// Of `compared` of these accesses it was looked up what an uncached walk finds; it differed
    /// for these. Whoever judges frames only has no use for it.
    virtual void judge_walks(rmap::ActorId /*agent*/, std::uint64_t /*compared*/,
                             const std::vector<WalkDifference>& /*differences*/) {}
};

}  // namespace mmusim::models
