// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/mem/memory_config.hpp"
#include "models/tlb/set_associative.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::models {

/// Which lines one core holds in its L1 and L2, and up to which instant it has seen their writes.
/// Belongs to the core alone: what other cores do to a line is looked up in the line's history, so
/// nothing here depends on the host's order. Does not model: instruction lines, user data.
class DataCache {
public:
    enum class Level { kL1, kL2, kEvicted, kNeverSeen };
    struct Held {
        Level level = Level::kNeverSeen;
        rmap::Instant seen_until{};  ///< writes serialised up to here are in the copy
    };

    explicit DataCache(const CacheCapacity& capacity)
        : l1_({capacity.l1_lines, kL1Ways}),
          l2_({capacity.l2_lines, kL2Ways}),
          keeps_lines_(capacity.l2_lines != 0) {}

    /// Whether a line may stay here after its use; if not, no write has to invalidate it.
    bool keeps_lines() const { return keeps_lines_; }

    /// Looks the line up and makes it most recently used, up to date until `seen_until`.
    Held use(rmap::LineNumber line, rmap::Instant seen_until) {
        Held held;
        if (auto* in_l2 = l2_.find(line.value, line)) {
            held = {l1_.find(line.value, line) ? Level::kL1 : Level::kL2, *in_l2};
            *in_l2 = seen_until;
            if (held.level == Level::kL2) l1_.insert(line.value, line, {});
            return held;
        }
        if (auto* before = evicted_.find(line.value, line)) held = {Level::kEvicted, *before};
        l1_.insert(line.value, line, {});
        l2_.insert(line.value, line, seen_until, [this](rmap::LineNumber old, rmap::Instant seen) {
            evicted_.insert(old.value, old, seen);
        });
        return held;
    }

private:
    static constexpr unsigned kL1Ways = 8;
    static constexpr unsigned kL2Ways = 16;
    static constexpr std::size_t kEvictedLines = 1 << 17;  ///< further ones count as never seen

    struct Nothing {};
    SetAssociative<rmap::LineNumber, Nothing> l1_;  ///< of what is in l2_, or was
    SetAssociative<rmap::LineNumber, rmap::Instant> l2_;
    SetAssociative<rmap::LineNumber, rmap::Instant> evicted_{{kEvictedLines, 16}};
    const bool keeps_lines_;
};

}  // namespace mmusim::models
