// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <queue>
#include <tuple>
#include <vector>

#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// Total order of effects (time-model rule 5): the host's schedule never decides anything.
struct EffectKey {
    rmap::Instant time;
    rmap::ActorId actor = rmap::kNoActor;
    std::uint64_t sequence = 0;

    friend bool operator<(const EffectKey& a, const EffectKey& b) {
        return std::tie(a.time.ps, a.actor, a.sequence) < std::tie(b.time.ps, b.actor, b.sequence);
    }
};

/// Effects on their way to one receiver, earliest first.
template <class T>
class Inbox {
public:
    struct Item {
        EffectKey key;
        T value;
        friend bool operator<(const Item& a, const Item& b) { return b.key < a.key; }
    };

    void post(const EffectKey& key, T value) { items_.push({key, std::move(value)}); }
    bool empty() const { return items_.empty(); }
    const Item& front() const { return items_.top(); }
    rmap::Instant next_at() const { return empty() ? rmap::kNever : front().key.time; }
    Item take() {
        Item item = items_.top();
        items_.pop();
        return item;
    }

private:
    std::priority_queue<Item> items_;
};

/// Effects that came too late for what their receiver had already decided. None of any kind: the
/// run equals the exact one. Only a quantum beyond the lookahead can cause them.
struct LateEffects {
    std::uint64_t count = 0;
    rmap::Duration worst;

    void add(rmap::Duration lateness) {
        ++count;
        worst = rmap::max(worst, lateness);
    }
};

}  // namespace mmusim::models
