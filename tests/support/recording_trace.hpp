// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rmap/account/accountant.hpp"
#include "rmap/ports/time_port.hpp"
#include "rmap/ports/trace_port.hpp"

namespace mmusim::test {

/// The events of all CPUs of a machine, in the order in which they were emitted.
class RecordingTrace {
public:
    /// Names of arguments to show; the words of Event's row in events.def.
    using Arguments = std::initializer_list<std::string_view>;

    enum class Which { kAll, kCaptured };  ///< kCaptured: those that a capture of v5.0 can show

    void add(const rmap::EventRecord& record);
    void clear() { records_.clear(); }
    const std::vector<rmap::EventRecord>& records() const { return records_; }

    /// Log names, of one CPU if `actor` is given: {"ptep_clear_flush", ...}.
    std::vector<std::string> names(std::optional<rmap::ActorId> actor = {}) const;

    /// The same with those of `shown` that an event has: "tlb_flush reason=remote_shootdown
    /// pages=-1". The separator is a blank, values are decimal or 0x..., kAllPages is -1.
    std::vector<std::string> lines(Arguments shown, std::optional<rmap::ActorId> actor = {},
                                   Which which = Which::kAll) const;

    /// All records of one event, in order.
    std::vector<rmap::EventRecord> find(rmap::Event event) const;
    std::size_t count(rmap::Event event) const { return find(event).size(); }

    /// The first record of `event`; a failed check if there is none.
    rmap::EventRecord first(rmap::Event event) const;

    /// The value of the argument called `name`; a failed check if the event has no such argument.
    static std::uint64_t argument(const rmap::EventRecord& record, std::string_view name);

    /// Runs at the next `event` of `actor`, once: lets a test put another CPU's work exactly there.
    void at_next(rmap::Event event, rmap::ActorId actor, std::function<void()> action);

private:
    struct Hook {
        rmap::Event event;
        rmap::ActorId actor;
        std::function<void()> action;
    };

    std::vector<rmap::EventRecord> records_;
    std::optional<Hook> hook_;
};

/// One CPU's way into the trace.
class TraceOf final : public rmap::TracePort {
public:
    TraceOf(RecordingTrace& trace, rmap::TimePort& time, const rmap::Accountant& account)
        : trace_(trace), time_(time), account_(account) {}

    void emit(rmap::OperationId operation, rmap::Event event,
              const rmap::EventArguments& arguments) override;

private:
    RecordingTrace& trace_;
    rmap::TimePort& time_;
    const rmap::Accountant& account_;
    std::uint32_t sequence_ = 0;
};

}  // namespace mmusim::test
