// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "models/observe/settled_stream.hpp"
#include "platform/oracle/operation_names.hpp"
#include "platform/report/cause_matcher.hpp"
#include "platform/report/event_text.hpp"
#include "platform/report/streamed_file.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Writes a timeline for Perfetto and chrome://tracing: trace events of Google's "Trace Event
/// Format" as one JSON array, one event per line. The end of the array may be missing in that
/// format, so what a killed run leaves can be opened.
///
///   * One process, "mmusim", with one thread per agent, sorted by actor.
///   * A slice from an entry to its return (events.def). Returns without entry are dropped; an
///     entry without return ends with the slice around it.
///   * An instant per point. One that can begin or end an arrow is a slice without length instead,
///     since arrows bind to slices.
///   * Calls and batches are slices; operations of single pages overlap, so each is an asynchronous
///     span of its own.
///   * An arrow (events "s" and "f") per cause that the cause table finds, written once the effect
///     is known: none lacks its end.
///
/// Times are in microseconds with as many decimals as it takes to be exact. "seq" in the arguments
/// is the number of the record in the event log.
class Timeline final : public models::EventSink {
public:
    /// Slices that are open at once in one agent; beyond that the outermost never returned, and all
    /// are ended.
    static constexpr std::size_t kDeepest = 128;

    /// Creates or overwrites the file. Throws UserError when it cannot.
    Timeline(const std::string& path, ActorName actor_name);

    /// Throws UserError when the file cannot be written.
    void on_record(const rmap::EventRecord& record) override;

    /// Ends what is open and completes the file. Throws UserError when it cannot.
    void close();

private:
    struct Slice {
        rmap::Event entry;
        rmap::OperationId operation;  ///< of an operation's own slice, else 0
    };
    struct Agent {
        bool named = false;
        std::vector<Slice> open;          ///< innermost last
        rmap::OperationId operation = 0;  ///< of its last record
        std::string operation_name;       ///< likewise, in quotes
    };

    void write_record(const rmap::EventRecord& record);
    void enter(const rmap::EventRecord& record);
    void leave(const rmap::EventRecord& record);
    void end_slices(rmap::ActorId actor, std::size_t left);
    void write_page_operation(const rmap::EventRecord& record, bool begin);
    void write_arrow(const Arrow& arrow);

    Agent& agent(rmap::ActorId actor);
    void name_agent(rmap::ActorId actor);
    void begin_event(char phase, std::string_view category, std::string_view name,
                     rmap::ActorId actor, rmap::Instant time);
    void append_details(const rmap::EventRecord& record, std::string_view sequence_name);
    void end_event();

    const ActorName actor_name_;
    StreamedFile file_;
    OperationNames operations_;
    CauseMatcher causes_;
    std::vector<Agent> agents_;
    std::map<rmap::OperationId, rmap::ActorId> open_pages_;  ///< operations of single pages
    rmap::Instant last_;
    std::uint64_t next_number_ = 0;
    std::uint64_t arrows_ = 0;
    bool closed_ = false;
};

}  // namespace mmusim::platform
