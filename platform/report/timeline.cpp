// SPDX-License-Identifier: Apache-2.0
#include "platform/report/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "platform/report/event_arguments.hpp"
#include "rmap/account/accountant.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::ActorId;
using rmap::Event;
using rmap::EventMark;
using rmap::EventRecord;
using rmap::OperationKind;

namespace {

/// Whose return each event is.
class EntryOfReturn {
public:
    EntryOfReturn() {
        for (std::size_t i = 0; i < rmap::kEventCount; ++i)
            if (rmap::kEventTable[i].mark == EventMark::kReturn)
                entries_[i] = entry_of(rmap::kEventTable[i].name);
    }
    Event of(Event event) const { return entries_[static_cast<std::size_t>(event)]; }

private:
    static Event entry_of(std::string_view name) {
        constexpr std::string_view kEnding = "_ret";
        const std::string_view wanted =
            name == rmap::info(Event::kOperationEnd).name
                ? rmap::info(Event::kOperationBegin).name
                : name.substr(0, name.size() - std::min(name.size(), kEnding.size()));
        for (std::size_t i = 0; i < rmap::kEventCount; ++i)
            if (rmap::kEventTable[i].name == wanted) return static_cast<Event>(i);
        MMUSIM_CHECK(false, fmt::format("the return {} has an entry", name));
        return {};
    }

    std::array<Event, rmap::kEventCount> entries_{};
};

std::string_view kind_of_operation(const EventRecord& record) {
    const std::uint64_t kind = record.arguments[0];
    return kind < rmap::kOperationKinds ? rmap::name(static_cast<OperationKind>(kind))
                                        : "operation";
}

bool is_operation_mark(Event event) {
    return event == Event::kOperationBegin || event == Event::kOperationEnd;
}

bool is_page_operation(const EventRecord& record) {
    return is_operation_mark(record.event) &&
           record.arguments[0] == static_cast<std::uint64_t>(OperationKind::kUnmap);
}

std::string_view slice_name(const EventRecord& record) {
    return is_operation_mark(record.event) ? kind_of_operation(record)
                                           : rmap::info(record.event).name;
}

constexpr std::string_view kEvent = "event", kOperation = "operation", kCause = "cause";

}  // namespace

Timeline::Timeline(const std::string& path, ActorName actor_name)
    : actor_name_(std::move(actor_name)), file_(path, "the timeline") {
    // Each further line begins with its comma, so that the lines so far and a bracket are JSON.
    file_.append(
        "[\n"
        R"({"ph":"M","pid":1,"tid":0,"name":"process_name","args":{"name":"mmusim"}})"
        "\n");
}

void Timeline::on_record(const EventRecord& record) {
    operations_.on_record(record);
    last_ = record.time;
    // Where the record ends a slice its arrows come first: they end inside of it.
    const auto& arrows = causes_.on_record(record);
    const bool is_return = rmap::info(record.event).mark == EventMark::kReturn;
    if (!is_return) write_record(record);
    for (const Arrow& arrow : arrows) write_arrow(arrow);
    if (is_return) write_record(record);
    ++next_number_;
}

void Timeline::write_record(const EventRecord& record) {
    switch (rmap::info(record.event).mark) {
        case EventMark::kEntry:
            return enter(record);
        case EventMark::kReturn:
            return leave(record);
        case EventMark::kPoint:
            break;
    }
    const bool has_arrows = causes_.concerns(record.event);
    begin_event(has_arrows ? 'X' : 'i', kEvent, slice_name(record), record.actor, record.time);
    file_.append(has_arrows ? R"(,"dur":0)" : R"(,"s":"t")");
    append_details(record, "seq");
    end_event();
}

void Timeline::enter(const EventRecord& record) {
    if (is_page_operation(record)) return write_page_operation(record, true);
    if (agent(record.actor).open.size() >= kDeepest) end_slices(record.actor, 0);
    begin_event('B', is_operation_mark(record.event) ? kOperation : kEvent, slice_name(record),
                record.actor, record.time);
    append_details(record, "seq");
    end_event();
    agent(record.actor)
        .open.push_back({record.event, is_operation_mark(record.event) ? record.operation : 0});
}

void Timeline::leave(const EventRecord& record) {
    static const EntryOfReturn entries;
    if (is_page_operation(record)) return write_page_operation(record, false);
    const Slice wanted{entries.of(record.event),
                       is_operation_mark(record.event) ? record.operation : 0};
    const auto& open = agent(record.actor).open;
    const auto it = std::find_if(open.rbegin(), open.rend(), [&](const Slice& slice) {
        return slice.entry == wanted.entry && slice.operation == wanted.operation;
    });
    if (it == open.rend()) return;
    end_slices(record.actor, static_cast<std::size_t>(open.rend() - it));
    begin_event('E', is_operation_mark(record.event) ? kOperation : kEvent, {}, record.actor,
                record.time);
    append_details(record, "end_seq");
    end_event();
    agent(record.actor).open.pop_back();
}

/// Until only the outermost `left` are open.
void Timeline::end_slices(ActorId actor, std::size_t left) {
    for (auto& open = agent(actor).open; open.size() > left; open.pop_back()) {
        const bool operation = open.back().operation != 0;
        begin_event('E', operation ? kOperation : kEvent, {}, actor, last_);
        end_event();
    }
}

void Timeline::write_page_operation(const EventRecord& record, bool begin) {
    if (begin)
        open_pages_.emplace(record.operation, record.actor);
    else if (open_pages_.erase(record.operation) == 0)
        return;
    begin_event(begin ? 'b' : 'e', kOperation, kind_of_operation(record), record.actor,
                record.time);
    fmt::format_to(std::back_inserter(file_.text()), R"(,"id":"{}")",
                   operation_text(record.operation));
    append_details(record, begin ? "seq" : "end_seq");
    end_event();
}

void Timeline::write_arrow(const Arrow& arrow) {
    ++arrows_;
    const auto write = [&](char phase, const EventRecord& record, std::string_view binding) {
        begin_event(phase, kCause, arrow.rule->name, record.actor, record.time);
        fmt::format_to(std::back_inserter(file_.text()), R"(,"id":{}{})", arrows_, binding);
        end_event();
    };
    write('s', arrow.from, "");
    write('f', arrow.to, R"(,"bp":"e")");
}

void Timeline::close() {
    if (closed_) return;
    closed_ = true;
    for (ActorId actor = 0; actor < agents_.size(); ++actor) end_slices(actor, 0);
    for (const auto& [operation, actor] : open_pages_) {
        begin_event('e', kOperation, rmap::name(OperationKind::kUnmap), actor, last_);
        fmt::format_to(std::back_inserter(file_.text()), R"(,"id":"{}")",
                       operation_text(operation));
        end_event();
    }
    file_.append("]\n");
    file_.close();
}

Timeline::Agent& Timeline::agent(ActorId actor) {
    if (actor >= agents_.size()) agents_.resize(actor + std::size_t{1});
    return agents_[actor];
}

void Timeline::name_agent(ActorId actor) {
    if (std::exchange(agent(actor).named, true)) return;
    // Thread 0 is the idle task for Perfetto.
    const std::uint64_t thread = std::uint64_t{actor} + 1;
    constexpr std::string_view kMetadata = R"(,{{"ph":"M","pid":1,"tid":{},"name":"{}",)"
                                           R"("args":{{"{}":{}}}}})"
                                           "\n";
    fmt::format_to(std::back_inserter(file_.text()), kMetadata, thread, "thread_name", "name",
                   nlohmann::json(actor_name_(actor)).dump());
    fmt::format_to(std::back_inserter(file_.text()), kMetadata, thread, "thread_sort_index",
                   "sort_index", actor);
}

void Timeline::begin_event(char phase, std::string_view category, std::string_view name,
                           ActorId actor, rmap::Instant time) {
    name_agent(actor);
    constexpr std::uint64_t kPerMicrosecond = 1000000;
    fmt::format_to(std::back_inserter(file_.text()), R"(,{{"ph":"{}","pid":1,"tid":{},"ts":{})",
                   phase, std::uint64_t{actor} + 1, time.ps / kPerMicrosecond);
    if (std::uint64_t rest = time.ps % kPerMicrosecond; rest != 0) {
        int digits = 6;
        for (; rest % 10 == 0; rest /= 10) --digits;
        fmt::format_to(std::back_inserter(file_.text()), ".{:0{}}", rest, digits);
    }
    fmt::format_to(std::back_inserter(file_.text()), R"(,"cat":"{}")", category);
    if (!name.empty()) fmt::format_to(std::back_inserter(file_.text()), R"(,"name":"{}")", name);
}

void Timeline::append_details(const EventRecord& record, std::string_view sequence_name) {
    fmt::format_to(std::back_inserter(file_.text()), R"(,"args":{{"{}":{})", sequence_name,
                   next_number_);
    if (record.operation != 0) {
        Agent& last = agent(record.actor);
        // Most records are of the same operation as the one before.
        if (last.operation != record.operation || is_operation_mark(record.event)) {
            last.operation = record.operation;
            last.operation_name = nlohmann::json(operations_.name(record.operation)).dump();
        }
        file_.append(R"(,"operation":)");
        file_.append(last.operation_name);
    }
    append_arguments(file_.text(), record);
    file_.append("}");
}

void Timeline::end_event() {
    file_.append("}\n");
    file_.line_done();
}

}  // namespace mmusim::platform
