// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "platform/conform/capture.hpp"

namespace mmusim::platform {

/// The events of a capture that somebody has to account for, in their order, and how far the
/// replay has come.
class Script {
public:
    /// Leaves out what ignored_events() says.
    explicit Script(const Capture& capture);

    bool done() const { return position_ == events_.size(); }
    const CaptureEvent& next() const { return *events_[position_]; }
    void advance() { ++position_; }

    /// The next event of a CPU, or nullptr.
    const CaptureEvent* next_on(rmap::CpuId cpu) const;
    /// From the next event on.
    template <class F>
    void for_rest_on(rmap::CpuId cpu, F&& visit) const {
        for (std::size_t i = position_; i < events_.size(); ++i)
            if (events_[i]->cpu == cpu && !visit(*events_[i])) return;
    }
    const std::vector<const CaptureEvent*>& events() const { return events_; }
    std::size_t position() const { return position_; }
    std::size_t ignored() const { return ignored_; }
    /// Ignored ones included.
    std::size_t events_without_marks() const;

    /// Whether a task belongs to the scenario: what others do was not recorded, except in
    /// interrupt context.
    bool has_task(const std::string& task) const { return cast_.count(task) != 0; }

private:
    bool is_ignored(const Capture& capture, const CaptureEvent& event);
    bool is_free_of_other_use(const CaptureEvent& event);
    static bool is_foreign_switch(const Capture& capture, const CaptureEvent& event,
                                  const CaptureEvent* before);

    std::set<std::string> cast_;
    /// Frames that are free while the events are looked through: what was done before that.
    std::map<std::uint64_t, std::size_t> free_frames_;
    std::size_t done_ = 0;  ///< events that are no frees, so far
    std::vector<const CaptureEvent*> events_;
    std::size_t position_ = 0;
    std::size_t ignored_ = 0;
};

/// Kinds of events in captures that are neither predicted nor given, and why.
struct IgnoredEvents {
    std::string_view event;
    std::string_view when;
    std::string_view reason;
};
const std::vector<IgnoredEvents>& ignored_events();

}  // namespace mmusim::platform
