// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/observe/settled_stream.hpp"
#include "platform/report/event_text.hpp"
#include "platform/report/streamed_file.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Writes the event log: JSON, one object per line. First {"mmusim":VERSION,"format":1}, then
///   {"t":PS,"seq":NUMBER,"agent":"core0","op":"0.17","ev":"try_to_unmap","pfn":"0x1815",...}
/// in the order of the stream. "op" is left out when no operation caused the event; arguments have
/// the names and notations of events.def. Reaches the file in whole lines only, so that a killed
/// run leaves a readable prefix.
class EventLog final : public models::EventSink {
public:
    /// Creates or overwrites the file. Throws UserError when it cannot.
    EventLog(const std::string& path, ActorName actor_name);

    /// Throws UserError when the file cannot be written.
    void on_record(const rmap::EventRecord& record) override;

    /// Completes the file; without it errors at the end are lost. Throws UserError when it cannot.
    void close() { file_.close(); }

private:
    const std::string& agent(rmap::ActorId actor);

    const ActorName actor_name_;
    StreamedFile file_;
    std::vector<std::string> agents_;  ///< by actor: its name in quotes
    std::uint64_t next_number_ = 0;
};

}  // namespace mmusim::platform
