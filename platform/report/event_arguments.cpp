// SPDX-License-Identifier: Apache-2.0
#include "platform/report/event_arguments.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace mmusim::platform {

namespace {

using rmap::Event;

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

void append(fmt::memory_buffer& out, std::string_view text) {
    out.append(text.data(), text.data() + text.size());
}

}  // namespace

void append_arguments(fmt::memory_buffer& out, const rmap::EventRecord& record) {
    static const ArgumentTable table;
    std::size_t i = 0;
    for (const Argument& argument : table.of(record.event)) {
        const std::uint64_t value = record.arguments[i++];
        append(out, argument.opening);
        switch (argument.notation) {
            case Notation::kHex:
                fmt::format_to(std::back_inserter(out), "{:x}\"", value);
                break;
            case Notation::kReason:
                fmt::format_to(std::back_inserter(out), "\"{}\"", reason_name(value));
                break;
            case Notation::kPlain: {
                // Signed: errors, differences and kAllPages are negative.
                const fmt::format_int digits(static_cast<std::int64_t>(value));
                append(out, {digits.data(), digits.size()});
                break;
            }
        }
    }
}

}  // namespace mmusim::platform
