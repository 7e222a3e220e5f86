// SPDX-License-Identifier: Apache-2.0
#include "tests/support/recording_trace.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::test {

using rmap::ActorId;
using rmap::Event;
using rmap::EventRecord;

namespace {

struct Argument {
    std::string name;
    char format = 'd';
    std::uint64_t value = 0;
};

std::vector<Argument> arguments_of(const EventRecord& record) {
    std::vector<Argument> result;
    std::istringstream row{std::string(rmap::info(record.event).arguments)};
    for (std::string word; row >> word;) {
        const auto colon = word.find(':');
        Argument argument{word.substr(0, colon), 'd', record.arguments.at(result.size())};
        if (colon != std::string::npos) argument.format = word.at(colon + 1);
        result.push_back(argument);
    }
    return result;
}

std::string value_of(const Argument& argument) {
    static constexpr const char* kReasons[] = {"task_switch", "remote_shootdown", "local_shootdown",
                                               "local_mm_shootdown", "remote_send_ipi"};
    if (argument.format == 's') return kReasons[argument.value];
    std::ostringstream text;
    if (argument.format == 'x')
        text << "0x" << std::hex << argument.value;
    else
        text << static_cast<std::int64_t>(argument.value);
    return text.str();
}

}  // namespace

void RecordingTrace::add(const EventRecord& record) {
    records_.push_back(record);
    if (!hook_ || hook_->event != record.event || hook_->actor != record.actor) return;
    const auto action = std::move(hook_->action);
    hook_.reset();
    action();
}

void RecordingTrace::at_next(Event event, ActorId actor, std::function<void()> action) {
    hook_ = Hook{event, actor, std::move(action)};
}

std::vector<std::string> RecordingTrace::names(std::optional<ActorId> actor) const {
    return lines({}, actor);
}

std::vector<std::string> RecordingTrace::lines(Arguments shown, std::optional<ActorId> actor,
                                               Which which) const {
    std::vector<std::string> result;
    for (const auto& record : records_) {
        if (actor && record.actor != *actor) continue;
        if (which == Which::kCaptured && rmap::info(record.event).capture_5_0.empty()) continue;
        std::string line{rmap::info(record.event).name};
        for (const auto& argument : arguments_of(record))
            if (std::find(shown.begin(), shown.end(), argument.name) != shown.end())
                line += " " + argument.name + "=" + value_of(argument);
        result.push_back(line);
    }
    return result;
}

std::vector<EventRecord> RecordingTrace::find(Event event) const {
    std::vector<EventRecord> result;
    for (const auto& record : records_)
        if (record.event == event) result.push_back(record);
    return result;
}

EventRecord RecordingTrace::first(Event event) const {
    const auto found = find(event);
    MMUSIM_CHECK(!found.empty(), "no " + std::string(rmap::info(event).name) + " in the trace");
    return found.front();
}

std::uint64_t RecordingTrace::argument(const EventRecord& record, std::string_view name) {
    for (const auto& argument : arguments_of(record))
        if (argument.name == name) return argument.value;
    rmap::check_failed("argument", __FILE__, __LINE__,
                       std::string(rmap::info(record.event).name) + " has no " + std::string(name));
}

void TraceOf::emit(rmap::OperationId operation, Event event,
                   const rmap::EventArguments& arguments) {
    trace_.add({time_.local_now(), time_.actor(), sequence_++, operation, event, arguments});
}

}  // namespace mmusim::test
