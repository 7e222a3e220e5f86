// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
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
    /// `stores` counts the stores to simulated memory, for comparisons with uncached walks; null:
    /// there are none.
    AccessWriter(rmap::ActorId agent, AccessObserver* observer,
                 const std::uint64_t* stores = nullptr)
        : agent_(agent), observer_(observer), stores_(stores ? stores : &contexts_) {}
    AccessWriter(const AccessWriter&) = delete;
    AccessWriter& operator=(const AccessWriter&) = delete;

    bool on() const { return observer_ != nullptr; }

    /// Whose accesses follow.
    void set_context(rmap::MmId mm, rmap::VmId vm) {
        if (mm_ == mm && vm_ == vm) return;
        mm_ = mm;
        vm_ = vm;
        renew_stamp();
    }

    // Only with an observer:
    /// An access to `page` by `used`, done at `done`, which ascends from call to call.
    void write(rmap::Instant done, rmap::PageNumber page, rmap::Access access,
               const Translation& used) {
        last_ = &recent_[(page.value * 3 + static_cast<std::size_t>(access)) % kRecent];
        if (last_->page != page || last_->filled != used.read_at || last_->stamp != stamp())
            find_kind(page, access, used);
        write_alike(done, last_->kind);
    }

    /// What one with these arguments has been written as holds as long as this stays the same:
    /// nothing is stored, and accesses are of the same context.
    std::uint64_t stamp() const { return contexts_ + *stores_; }
    void renew_stamp() { ++contexts_; }
    /// What was written last is an access of this kind.
    AccessBatch::KindId last_kind() const { return last_->kind; }
    /// Another access of a kind that was written since the stamp changed.
    void write_alike(rmap::Instant done, AccessBatch::KindId kind) {
        *next_ = {done, kind};
        if (++next_ == end_) make_room();
        if (broken(rmap::TimeRule::kObserversJudgeLate)) judge(unjudged());
    }

    // The access that was written last is one of those to compare with an uncached walk:
    /// The comparison is done: one alike has ended alike, and nothing has been stored since.
    bool write_known() {
        compared_ += last_->confirmed;
        return last_->confirmed;
    }
    /// The walk ended alike.
    void write_confirmed() {
        ++compared_;
        last_->confirmed = true;
    }
    /// It did not.
    void write_difference(WalkDifference::What what) {
        ++compared_;
        if (unjudged() > 0)
            differences_.push_back({AccessBatch::record_of(next_[-1], kinds_), what});
    }

    /// When many have gathered, gives the observer those that kernel time has passed.
    void settle_many() {
        if (unjudged() >= kMany) settle(kernel_now());
    }
    /// Gives the observer all accesses before `now`.
    void settle(rmap::Instant now) {
        const auto* first = uses_.data();
        const auto* end = std::partition_point(first, static_cast<const AccessBatch::Use*>(next_),
                                               [&](const auto& use) { return use.time < now; });
        if (end == first) return;
        judge(static_cast<std::size_t>(end - first));
        settle_walks(now);
    }

private:
    using KindId = AccessBatch::KindId;
    static constexpr std::size_t kMany = 1024;
    static constexpr std::size_t kMostKinds = 4096;  ///< to be remembered
    static constexpr std::size_t kRecent = 4096;

    /// The last uses of a page for an access, or of others in its place.
    struct alignas(64) Recent {
        rmap::PageNumber page{};
        rmap::Instant filled{};  ///< what one agent reads for a page at one time is one translation
        std::uint64_t stamp = 0;
        KindId kind = 0;
        rmap::FrameNumber frame{};
        bool confirmed = false;  ///< an uncached walk has found the frame
    };

    [[gnu::noinline]] void find_kind(rmap::PageNumber page, rmap::Access access,
                                     const Translation& used) {
        const AccessRecord use{{},     used.read_at, page, used.frame_of(page), used.generation,
                               access, mm_,          vm_};
        KindId kind = last_->kind;
        if (kind < kinds_.first || !alike(kinds_.records[kind - kinds_.first], use))
            kind = add_kind(use);
        const bool confirmed = last_->confirmed && last_->stamp == stamp() && last_->page == page &&
                               last_->frame == use.frame;
        *last_ = {page, used.read_at, stamp(), kind, use.frame, confirmed};
    }
    static bool alike(const AccessRecord& a, const AccessRecord& b) {
        return a.page == b.page && a.access == b.access && a.frame == b.frame &&
               a.generation == b.generation && a.filled == b.filled && a.mm == b.mm && a.vm == b.vm;
    }
    KindId add_kind(const AccessRecord& use) {
        kinds_.records.push_back(use);
        return kinds_.first + kinds_.records.size() - 1;
    }

    std::size_t unjudged() const { return static_cast<std::size_t>(next_ - uses_.data()); }
    [[gnu::noinline]] void make_room() {
        const std::size_t used = unjudged();
        uses_.resize(2 * uses_.size());
        next_ = uses_.data() + used;
        end_ = uses_.data() + uses_.size();
    }

    void judge(std::size_t count) {
        auto* const first = uses_.data();
        observer_->judge(agent_, {first, first + count, kinds_});
        next_ = std::copy(first + count, next_, first);
        if (kinds_.records.size() > kMostKinds) forget_kinds();
    }
    /// All but those of uses that are still to be judged.
    void forget_kinds() {
        const auto before = std::exchange(kinds_.records, {});
        const KindId first = std::exchange(kinds_.first, kinds_.first + before.size());
        std::vector<KindId> now(before.size());
        for (auto* use = uses_.data(); use != next_; ++use) {
            KindId& own = now[use->kind - first];
            if (own == 0) own = add_kind(before[use->kind - first]);
            use->kind = own;
        }
        renew_stamp();  // what was known of the old ones is of no use any more
    }
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
    const std::uint64_t* const stores_;
    rmap::MmId mm_ = rmap::kInitMm;
    rmap::VmId vm_ = 0;
    std::uint64_t contexts_ = 1;  ///< changes with these, and with the kinds
    std::vector<Recent> recent_ = std::vector<Recent>(kRecent);
    Recent* last_ = recent_.data();  ///< of the access that was written last
    std::vector<AccessBatch::Use> uses_ = std::vector<AccessBatch::Use>(2 * kMany);
    AccessBatch::Use* next_ = uses_.data();  ///< after those that are still to be judged
    AccessBatch::Use* end_ = uses_.data() + uses_.size();  ///< not reached
    AccessBatch::Kinds kinds_;
    std::uint64_t compared_ = 0;  ///< since the observer was told
    std::vector<WalkDifference> differences_;
};

}  // namespace mmusim::models
