// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "models/observe/access_record.hpp"
#include "models/tlm/thread_time.hpp"
#include "models/tlm/translation.hpp"
#include "rmap/types/time_rule.hpp"

namespace mmusim::models {

/// The accesses of one agent on their way to the observer, which may be null. It judges them once
/// kernel time has passed them (time-model rule 12).
class AccessWriter {
public:
    AccessWriter(rmap::ActorId agent, AccessObserver* observer)
        : agent_(agent), observer_(observer) {}

    bool on() const { return observer_ != nullptr; }

    /// An access to `address` by `used`, done at `done`, which ascends from call to call. Only
    /// with an observer.
    void write(rmap::Instant done, rmap::VirtAddr address, rmap::Access kind,
               const Translation& used, rmap::MmId mm, rmap::VmId vm) {
        AccessRecord record;
        record.time = done;
        record.filled = used.read_at;
        record.page = rmap::page_of(address);
        record.frame = used.frame_of(record.page);
        record.generation = used.generation;
        record.access = kind;
        record.mm = mm;
        record.vm = vm;
        if (broken(rmap::TimeRule::kObserversJudgeLate))
            observer_->judge(agent_, &record, &record + 1);
        else
            unjudged_.push_back(record);
    }
    /// The access that was written last was compared with an uncached walk, which ended alike.
    void write_compared() { ++compared_; }
    /// Likewise; it did not.
    void write_difference(WalkDifference::What what) {
        ++compared_;
        if (!unjudged_.empty()) differences_.push_back({unjudged_.back(), what});
    }

    /// When many have gathered, gives the observer those that kernel time has passed.
    void settle_many() {
        if (unjudged_.size() >= kMany) settle(kernel_now());
    }
    /// Gives the observer all accesses before `now`.
    void settle(rmap::Instant now) {
        const auto end = std::partition_point(unjudged_.begin(), unjudged_.end(),
                                              [&](const auto& r) { return r.time < now; });
        if (end == unjudged_.begin()) return;
        observer_->judge(agent_, unjudged_.data(), unjudged_.data() + (end - unjudged_.begin()));
        unjudged_.erase(unjudged_.begin(), end);
        settle_walks(now);
    }

private:
    static constexpr std::size_t kMany = 1024;

    void settle_walks(rmap::Instant now) {
        if (compared_ == 0) return;
        const auto end = std::partition_point(differences_.begin(), differences_.end(),
                                              [&](const auto& d) { return d.use.time < now; });
        observer_->judge_walks(agent_, compared_, {differences_.begin(), end});
        differences_.erase(differences_.begin(), end);
        compared_ = 0;
    }

    const rmap::ActorId agent_;
    AccessObserver* const observer_;
    std::vector<AccessRecord> unjudged_;
    std::uint64_t compared_ = 0;  ///< since the observer was told
    std::vector<WalkDifference> differences_;
};

}  // namespace mmusim::models
