// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// One time that a hazard happened.
struct Occurrence {
    rmap::Instant time;
    rmap::ActorId actor = rmap::kNoActor;
    rmap::OperationId operation = 0;
    std::string operation_name;  ///< filled in by the oracle
    std::string what;            ///< to which page, mm, client
    std::string translation;     ///< that it is about, where it is about one
    rmap::Duration window;       ///< how long it lasted, where the stream shows that
};

/// How often one hazard happened. Some happen at every flush, so only the first time is described,
/// and the others cost a few additions.
class Occurrences {
public:
    /// It happened at `record`. `describe` fills in `what` and `translation`, if asked to.
    template <class Describe>
    void add(const rmap::EventRecord& record, rmap::Duration window, Describe&& describe) {
        total_window_ += window;
        longest_window_ = rmap::max(longest_window_, window);
        if (++count_ > 1) return;
        first_.time = record.time;
        first_.actor = record.actor;
        first_.operation = record.operation;
        first_.window = window;
        std::forward<Describe>(describe)(first_);
    }

    std::uint64_t count() const { return count_; }
    rmap::Duration total_window() const { return total_window_; }
    rmap::Duration longest_window() const { return longest_window_; }
    /// Once there is one.
    Occurrence& first() { return first_; }
    const Occurrence& first() const { return first_; }

private:
    std::uint64_t count_ = 0;
    rmap::Duration total_window_;
    rmap::Duration longest_window_;
    Occurrence first_;
};

/// Notices one hazard in the event stream, from the records of events.def alone. Needs bounded
/// memory and O(log n) per record.
class HazardMonitor {
public:
    virtual ~HazardMonitor() = default;

    /// The events it wants, each once; it is called for no other.
    virtual std::vector<rmap::Event> events() const = 0;

    virtual void on_record(const rmap::EventRecord& record, Occurrences& occurrences) = 0;
};

}  // namespace mmusim::platform
