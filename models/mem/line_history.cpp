// SPDX-License-Identifier: Apache-2.0
#include "models/mem/line_history.hpp"

namespace mmusim::models {

using rmap::ActorId;
using rmap::Instant;
using rmap::Word;

std::optional<ActorId> LineHistory::foreign_write(ActorId reader, Instant after,
                                                  Instant until) const {
    for (auto op = ops_.rbegin(); op != ops_.rend() && op->time > after; ++op)
        if (op->actor != reader && op->time <= until) return op->actor;
    const Latest& folded = folded_.actor == reader ? folded_other_ : folded_;
    if (folded.actor != rmap::kNoActor && folded.time > after && folded.time <= until)
        return folded.actor;
    return std::nullopt;
}

void LineHistory::append(unsigned word, Instant time, ActorId actor, const Word& value,
                         Instant settled) {
    std::size_t known_to_all = 0;
    while (known_to_all < ops_.size() && ops_[known_to_all].time < settled) {
        const Op& op = ops_[known_to_all++];
        base_[op.word] = op.value;
        if (folded_.actor != op.actor) folded_other_ = folded_;
        folded_ = {op.time, op.actor};
    }
    ops_.erase(ops_.begin(), ops_.begin() + static_cast<std::ptrdiff_t>(known_to_all));
    ops_.push_back({time, actor, word, value});
}

void LineHistory::note_read(Instant time, ActorId actor) {
    if (newest_read.actor == actor) {
        newest_read.time = rmap::max(newest_read.time, time);
    } else if (time >= newest_read.time) {
        other_read = newest_read;
        newest_read = {time, actor};
    } else {
        other_read = {rmap::max(other_read.time, time), actor};
    }
}

void LineHistory::add_sharer(Instant time, ActorId actor, Instant settled) {
    constexpr std::size_t kFoldAt = 16;
    if (reads_.size() >= kFoldAt)
        reads_.erase(std::remove_if(reads_.begin(), reads_.end(),
                                    [&](const Read& read) {
                                        if (read.time >= settled) return false;
                                        const auto at = std::lower_bound(
                                            old_readers_.begin(), old_readers_.end(), read.actor);
                                        if (at == old_readers_.end() || *at != read.actor)
                                            old_readers_.insert(at, read.actor);
                                        return true;
                                    }),
                     reads_.end());
    reads_.push_back({time, actor});
}

}  // namespace mmusim::models
