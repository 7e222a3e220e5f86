// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <systemc>
#include <utility>

#include "models/tlm/inbox.hpp"
#include "models/tlm/thread_time.hpp"

namespace mmusim::models {

/// What is on its way to a home: a unit that answers by itself, at the arrival and never in
/// `b_transport` (time-model rule 10). The home's process is sensitive to `arrival_event()` and
/// calls `serve()`.
template <class T>
class HomeInbox {
public:
    using Item = typename Inbox<T>::Item;

    const sc_core::sc_event& arrival_event() const { return arrival_event_; }

    /// Takes effect at the time of the key; at once when that has passed.
    void post(const EffectKey& key, T value) {
        arrival_event_.notify(to_sc_time(rmap::time_until(kernel_now(), key.time)));
        inbox_.post(key, std::move(value));
    }

    /// Calls `take(item)` for all that has arrived, in the order of the keys. It may post.
    template <class Take>
    void serve(Take&& take) {
        while (inbox_.next_at() <= kernel_now()) take(inbox_.take());
        if (!inbox_.empty()) arrival_event_.notify(to_sc_time(inbox_.next_at() - kernel_now()));
    }

private:
    Inbox<T> inbox_;
    sc_core::sc_event arrival_event_;
};

}  // namespace mmusim::models
