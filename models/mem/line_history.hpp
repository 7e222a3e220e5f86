// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "rmap/ports/phys_mem_port.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

inline constexpr unsigned kWordsPerLine = rmap::kLineSize / 8;

/// Who has a cache line, in which order its writers were served, and what each reader may see.
/// Plain: knows neither costs nor the simulator. All instants are serialisation instants of the
/// line; a write is visible to its writer at once and to everybody else `visibility` later.
class LineHistory {
public:
    /// Latest write, and latest write by another actor than that one's.
    struct Latest {
        rmap::Instant time{};
        rmap::ActorId actor = rmap::kNoActor;
    };

    /// What an actor sees of the line at `now`: all writes up to `until`.
    rmap::Instant visible_until(rmap::ActorId reader, rmap::Instant now,
                                rmap::Duration visibility) const {
        rmap::Instant until{now.ps >= visibility.ps ? now.ps - visibility.ps : 0};
        for (auto op = ops_.rbegin(); op != ops_.rend() && op->time > until; ++op)
            if (op->actor == reader && op->time <= now) return op->time;
        return until;
    }

    rmap::Word value(unsigned word, rmap::Instant until) const {
        for (auto op = ops_.rbegin(); op != ops_.rend(); ++op)
            if (op->word == word && op->time <= until) return op->value;
        return base_[word];
    }
    rmap::Word latest(unsigned word) const { return value(word, rmap::kNever); }

    /// Newest write by somebody else than `reader` that is serialised in (after, until].
    std::optional<rmap::ActorId> foreign_write(rmap::ActorId reader, rmap::Instant after,
                                               rmap::Instant until) const;

    /// A write is serialised. Every reader from now on sees what was written before `settled`.
    void append(unsigned word, rmap::Instant time, rmap::ActorId actor, const rmap::Word& value,
                rmap::Instant settled);

    /// Some actor has written it.
    bool written() const { return !ops_.empty() || folded_.actor != rmap::kNoActor; }
    /// Set-up, as if it had been so before time began.
    void set_base(unsigned word, const rmap::Word& value) { base_[word] = value; }

    /// A load at `time`.
    void note_read(rmap::Instant time, rmap::ActorId actor);

    /// The line stays with the reader of a load at `time`. `settled` as above.
    void add_sharer(rmap::Instant time, rmap::ActorId actor, rmap::Instant settled);

    /// Sharers other than `writer` since the last store by the owner that the owner knows of at
    /// `now`; forgets them. Each is given to `f` at most once, in no particular order.
    template <class F>
    void take_sharers(rmap::ActorId writer, rmap::Instant now, rmap::Duration visibility, F&& f) {
        for (const auto actor : old_readers_)
            if (actor != writer) f(actor);
        old_readers_.clear();
        reads_.erase(std::remove_if(reads_.begin(), reads_.end(),
                                    [&](const Read& read) {
                                        if (read.time + visibility > now) return false;
                                        if (read.actor != writer) f(read.actor);
                                        return true;
                                    }),
                     reads_.end());
    }

    // ---- the home's side ----
    rmap::ActorId owner = rmap::kNoActor;
    rmap::Instant last_serialised{};      ///< of any locked operation
    rmap::Instant busy_until{};           ///< the line's next transfer starts no earlier
    std::vector<rmap::Instant> arrivals;  ///< of foreign requests not yet served
    rmap::Instant owner_decided{};        ///< latest fast-path operation of the owner
    Latest newest_read, other_read;       ///< latest read, and latest by another actor

private:
    struct Op {
        rmap::Instant time;
        rmap::ActorId actor;
        unsigned word;
        rmap::Word value;
    };
    struct Read {
        rmap::Instant time;
        rmap::ActorId actor;
    };

    std::array<rmap::Word, kWordsPerLine> base_{};
    std::vector<Op> ops_;  ///< in order of time; older ones are folded into base_
    Latest folded_, folded_other_;
    std::vector<Read> reads_;
    std::vector<rmap::ActorId> old_readers_;  ///< reads everybody already knows of
};

}  // namespace mmusim::models
