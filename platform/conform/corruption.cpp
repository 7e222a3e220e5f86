// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/corruption.hpp"

#include <fmt/format.h>

#include <map>
#include <random>
#include <string>
#include <utility>

#include "platform/conform/comparison.hpp"
#include "platform/conform/script.hpp"

namespace mmusim::platform {

namespace {

using Kind = Corruption::Kind;

bool says_the_same(const CaptureEvent& a, const CaptureEvent& b) {
    if (a.name != b.name || a.irq != b.irq || a.arguments.size() != b.arguments.size())
        return false;
    for (std::size_t i = 0; i < a.arguments.size(); ++i)
        if (a.arguments[i].name != b.arguments[i].name ||
            a.arguments[i].text != b.arguments[i].text)
            return false;
    return true;
}

class Planner {
public:
    Planner(const Capture& capture, std::uint64_t seed) : capture_(capture), random_(seed) {
        for (const auto& event : capture.events)
            for (const auto& argument : event.arguments) ++uses_[argument.text];
        for (const auto& page : capture.pages_before)
            if (page.pfn) ++uses_[fmt::format("{:#x}", *page.pfn)];
        const Script script(capture);
        for (const CaptureEvent* event : script.events())
            if (event->name != "mark")
                places_.push_back(static_cast<std::size_t>(event - capture.events.data()));
    }

    std::vector<Corruption> plan(std::size_t count) {
        std::vector<Corruption> planned;
        if (places_.size() < 2) return planned;
        constexpr Kind kKinds[] = {Kind::kSwap, Kind::kDelete, Kind::kDuplicate, Kind::kArgument};
        for (std::size_t n = 0; planned.size() < count && n < 100 * count; ++n) {
            Corruption corruption;
            corruption.kind = kKinds[planned.size() % std::size(kKinds)];
            corruption.event = places_[below(places_.size())];
            if (complete(corruption)) planned.push_back(corruption);
        }
        return planned;
    }

private:
    std::uint64_t below(std::uint64_t n) { return random_() % n; }

    /// False: this place does not allow it.
    bool complete(Corruption& corruption) {
        switch (corruption.kind) {
            case Kind::kSwap:
                return find_partner(corruption);
            case Kind::kArgument:
                return change_argument(corruption);
            case Kind::kDelete:
            case Kind::kDuplicate:
                return true;
        }
        return false;
    }

    /// The next event of the same CPU.
    bool find_partner(Corruption& corruption) {
        const auto& event = capture_.events[corruption.event];
        for (const std::size_t place : places_) {
            if (place <= corruption.event || capture_.events[place].cpu != event.cpu) continue;
            corruption.other = place;
            return !says_the_same(event, capture_.events[place]);
        }
        return false;
    }

    bool change_argument(Corruption& corruption) {
        const auto& event = capture_.events[corruption.event];
        std::vector<std::size_t> changeable;
        for (std::size_t i = 0; i < event.arguments.size(); ++i)
            if (!is_mere_name(event.arguments[i])) changeable.push_back(i);
        if (changeable.empty()) return false;
        corruption.argument = changeable[below(changeable.size())];
        const auto& argument = event.arguments[corruption.argument];
        if (!argument.number) {
            corruption.value = argument.text + "?";
            return true;
        }
        // One more, one page more, or another bit.
        constexpr std::uint64_t kSteps[] = {1, 0x1000, 0x40};
        corruption.value =
            fmt::format("{:#x}", *argument.number + kSteps[below(std::size(kSteps))]);
        return true;
    }

    /// What is named only here might be called anything. Between two switches that involve the
    /// scenario others may have taken place, so which stranger's memory a CPU had does not matter.
    bool is_mere_name(const CaptureArgument& argument) const {
        if (argument.name == "prev" || argument.name == "next")
            return capture_.mms.count(argument.number.value_or(0)) == 0;
        const bool name = argument.name == "vma" || argument.name == "newvma" ||
                          argument.name == "mapping" || argument.name == "pfn";
        return name && uses_.at(argument.text) == 1;
    }

    const Capture& capture_;
    std::map<std::string, std::size_t> uses_;  ///< of each value
    std::mt19937_64 random_;
    std::vector<std::size_t> places_;
};

}  // namespace

std::string Corruption::text(const Capture& capture) const {
    const auto& at = capture.events[event];
    const auto what = [&]() -> std::string {
        switch (kind) {
            case Kind::kSwap:
                return fmt::format("swapped with line {}", capture.events[other].line);
            case Kind::kDelete:
                return "deleted";
            case Kind::kDuplicate:
                return "duplicated";
            case Kind::kArgument:
                return fmt::format("{} = {}", at.arguments[argument].name, value);
        }
        return {};
    };
    return fmt::format("line {}, {}: {}", at.line, what(), event_text(at));
}

std::vector<Corruption> plan_corruptions(const Capture& capture, std::size_t count,
                                         std::uint64_t seed) {
    return Planner(capture, seed).plan(count);
}

Capture corrupted(Capture capture, const Corruption& corruption) {
    auto& events = capture.events;
    const auto at = events.begin() + static_cast<std::ptrdiff_t>(corruption.event);
    switch (corruption.kind) {
        case Kind::kSwap: {
            auto& other = events[corruption.other];
            std::swap(at->name, other.name);
            std::swap(at->irq, other.irq);
            std::swap(at->task, other.task);
            std::swap(at->arguments, other.arguments);
            break;
        }
        case Kind::kDelete:
            events.erase(at);
            break;
        case Kind::kDuplicate:
            events.insert(at, CaptureEvent(*at));
            break;
        case Kind::kArgument: {
            auto& argument = at->arguments[corruption.argument];
            argument.text = corruption.value;
            if (argument.number) argument.number = std::stoull(corruption.value, nullptr, 16);
            break;
        }
    }
    return capture;
}

}  // namespace mmusim::platform
