// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "models/observe/settled_stream.hpp"
#include "platform/report/event_text.hpp"
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

    /// Writes what is left; errors are lost here, so close() comes first.
    ~EventLog() override;
    EventLog(const EventLog&) = delete;
    EventLog& operator=(const EventLog&) = delete;

    /// Throws UserError when the file cannot be written.
    void on_record(const rmap::EventRecord& record) override;

    /// Completes the file. Throws UserError when it cannot.
    void close();

private:
    struct Closer {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    void append(std::string_view text) { lines_.append(text.data(), text.data() + text.size()); }
    void append_number(std::uint64_t value);
    void append_arguments(const rmap::EventRecord& record);
    const std::string& agent(rmap::ActorId actor);
    void write_lines();
    [[noreturn]] void fail() const;

    const std::string path_;
    const ActorName actor_name_;
    std::unique_ptr<std::FILE, Closer> file_;
    fmt::memory_buffer lines_;         ///< whole lines that are not in the file yet
    std::vector<std::string> agents_;  ///< by actor: its name in quotes
    std::uint64_t next_number_ = 0;
};

}  // namespace mmusim::platform
