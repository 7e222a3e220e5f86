// SPDX-License-Identifier: Apache-2.0
#include "platform/report/event_log.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {

namespace {

using rmap::Event;

constexpr std::size_t kWriteSize = 1 << 16;

enum class Notation { kPlain, kHex, kReason };

struct Argument {
    std::string opening;  ///< what stands before the value
    Notation notation;
};

Argument parse_argument(std::string_view text) {
    const auto ends_with = [&](std::string_view end) {
        return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
    };
    const auto key = [](std::string_view name) { return fmt::format(",\"{}\":", name); };
    if (ends_with(":x")) return {key(text.substr(0, text.size() - 2)) + "\"0x", Notation::kHex};
    if (ends_with(":s")) return {key(text.substr(0, text.size() - 2)), Notation::kReason};
    return {key(text), Notation::kPlain};
}

/// The arguments of every event, from events.def.
class ArgumentTable {
public:
    ArgumentTable() {
        for (std::size_t i = 0; i < rmap::kEventCount; ++i) {
            std::string_view rest = rmap::kEventTable[i].arguments;
            while (!rest.empty()) {
                const std::size_t length = std::min(rest.find(' '), rest.size());
                by_event_[i].push_back(parse_argument(rest.substr(0, length)));
                rest.remove_prefix(std::min(length + 1, rest.size()));
            }
        }
    }
    const std::vector<Argument>& of(Event event) const {
        return by_event_[static_cast<std::size_t>(event)];
    }

private:
    std::array<std::vector<Argument>, rmap::kEventCount> by_event_;
};

std::string_view reason_name(std::uint64_t reason) {
    static constexpr std::string_view kNames[] = {"task_switch", "remote_shootdown",
                                                  "local_shootdown", "local_mm_shootdown",
                                                  "remote_send_ipi"};
    return reason < std::size(kNames) ? kNames[reason] : "unknown";
}

}  // namespace

EventLog::EventLog(const std::string& path, ActorName actor_name)
    : path_(path), actor_name_(std::move(actor_name)), file_(std::fopen(path.c_str(), "wb")) {
    if (!file_) fail();
    // Unbuffered below our own buffer, which never ends inside a line.
    std::setvbuf(file_.get(), nullptr, _IONBF, 0);
    append("{\"mmusim\":\"" MMUSIM_VERSION "\",\"format\":1}\n");
}

EventLog::~EventLog() {
    if (file_ && lines_.size() > 0) std::fwrite(lines_.data(), 1, lines_.size(), file_.get());
}

void EventLog::on_record(const rmap::EventRecord& record) {
    append("{\"t\":");
    append_number(record.time.ps);
    append(",\"seq\":");
    append_number(next_number_++);
    append(",\"agent\":");
    append(agent(record.actor));
    if (record.operation != 0) {
        append(",\"op\":\"");
        append(operation_text(record.operation));
        append("\"");
    }
    append(",\"ev\":\"");
    append(rmap::info(record.event).name);
    append("\"");
    append_arguments(record);
    append("}\n");
    if (lines_.size() >= kWriteSize) write_lines();
}

void EventLog::append_number(std::uint64_t value) {
    const fmt::format_int digits(value);
    append({digits.data(), digits.size()});
}

void EventLog::append_arguments(const rmap::EventRecord& record) {
    static const ArgumentTable table;
    std::size_t i = 0;
    for (const Argument& argument : table.of(record.event)) {
        const std::uint64_t value = record.arguments[i++];
        append(argument.opening);
        switch (argument.notation) {
            case Notation::kHex:
                fmt::format_to(std::back_inserter(lines_), "{:x}\"", value);
                break;
            case Notation::kReason:
                fmt::format_to(std::back_inserter(lines_), "\"{}\"", reason_name(value));
                break;
            case Notation::kPlain: {
                // Signed: errors, differences and kAllPages are negative.
                const fmt::format_int digits(static_cast<std::int64_t>(value));
                append({digits.data(), digits.size()});
                break;
            }
        }
    }
}

const std::string& EventLog::agent(rmap::ActorId actor) {
    if (actor >= agents_.size()) agents_.resize(actor + std::size_t{1});
    std::string& name = agents_[actor];
    if (name.empty()) name = nlohmann::json(actor_name_(actor)).dump();
    return name;
}

void EventLog::write_lines() {
    if (std::fwrite(lines_.data(), 1, lines_.size(), file_.get()) != lines_.size()) fail();
    lines_.clear();
}

void EventLog::close() {
    if (!file_) return;
    write_lines();
    if (std::fclose(file_.release()) != 0) fail();
}

void EventLog::fail() const {
    throw UserError(fmt::format("{}: cannot write the event log: {}", path_, std::strerror(errno)));
}

}  // namespace mmusim::platform
