// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "rmap/types/pte.hpp"

namespace mmusim::platform {

using rmap::Event;
using rmap::Pte;

namespace {

/// How an argument is compared.
enum class Domain {
    kNumber,
    kMm,
    kVma,
    kFrame,
    kPtep,
    kPte,
    kGeneration,
    kSwapEntry,
    kMapping,
    kErrorCode,
};

struct DomainRow {
    std::string_view argument;
    Domain domain;
};
constexpr DomainRow kDomains[] = {
    {"mm", Domain::kMm},
    {"prev", Domain::kMm},
    {"next", Domain::kMm},
    {"vma", Domain::kVma},
    {"newvma", Domain::kVma},
    {"pfn", Domain::kFrame},
    {"src_pfn", Domain::kFrame},
    {"dst_pfn", Domain::kFrame},
    {"ptep", Domain::kPtep},
    {"pte", Domain::kPte},
    {"gen", Domain::kGeneration},
    {"old_gen", Domain::kGeneration},
    {"entry", Domain::kSwapEntry},
    {"mapping", Domain::kMapping},
    {"error_code", Domain::kErrorCode},
};

/// Arguments that we call otherwise.
struct AliasRow {
    std::string_view event;
    std::string_view theirs;
    std::string_view ours;
};
constexpr AliasRow kAliases[] = {
    {"unmap_page_range", "addr", "start"},
    {"page_fault_user", "address", "addr"},
    {"page_fault_user", "error_code", "write"},
};

/// Numbers that captures have in the tracepoint's words.
struct WordRow {
    std::string_view event;
    std::string_view argument;
    std::uint64_t number;
    std::string_view word;
};
constexpr WordRow kWords[] = {
    {"tlb_flush", "reason", 0, "task_switch"},
    {"tlb_flush", "reason", 1, "remote_shootdown"},
    {"tlb_flush", "reason", 2, "local_shootdown"},
    {"tlb_flush", "reason", 3, "local_mm_shootdown"},
    {"tlb_flush", "reason", 4, "remote_send_ipi"},
    {"mm_migrate_pages", "mode", 0, "MIGRATE_ASYNC"},
    {"mm_migrate_pages", "mode", 1, "MIGRATE_SYNC_LIGHT"},
    {"mm_migrate_pages", "mode", 2, "MIGRATE_SYNC"},
    {"mm_migrate_pages", "reason", 0, "compaction"},
    {"mm_migrate_pages", "reason", 1, "memory_failure"},
    {"mm_migrate_pages", "reason", 2, "memory_hotplug"},
    {"mm_migrate_pages", "reason", 3, "syscall_or_cpuset"},
    {"mm_migrate_pages", "reason", 4, "mempolicy_mbind"},
    {"mm_migrate_pages", "reason", 5, "numa_misplaced"},
    {"mm_vmscan_memcg_reclaim_begin", "gfp_flags", 0x6200ca, "GFP_HIGHUSER_MOVABLE"},
    {"mm_vmscan_lru_shrink_active", "flags", 0x9, "RECLAIM_WB_ANON|RECLAIM_WB_ASYNC"},
    {"mm_vmscan_lru_shrink_active", "flags", 0xa, "RECLAIM_WB_FILE|RECLAIM_WB_ASYNC"},
    {"mm_vmscan_lru_shrink_inactive", "flags", 0x9, "RECLAIM_WB_ANON|RECLAIM_WB_ASYNC"},
    {"mm_vmscan_lru_shrink_inactive", "flags", 0xa, "RECLAIM_WB_FILE|RECLAIM_WB_ASYNC"},
    {"mm_vmscan_writepage", "flags", 0x9, "RECLAIM_WB_ANON|RECLAIM_WB_ASYNC"},
    {"mm_vmscan_writepage", "flags", 0xa, "RECLAIM_WB_FILE|RECLAIM_WB_ASYNC"},
};

std::string_view word_of(std::string_view event, std::string_view argument, std::uint64_t number) {
    for (const auto& row : kWords)
        if (row.event == event && row.argument == argument && row.number == number) return row.word;
    return "unknown";
}

constexpr std::uint64_t kFaultPresent = 1;  // X86_PF_PROT
constexpr std::uint64_t kFaultWrite = 2;    // X86_PF_WRITE
constexpr std::uint64_t kFaultUser = 4;     // X86_PF_USER
constexpr std::uint64_t kPageOffset = 0xfff;
constexpr std::uint64_t kPteFlags = ~Pte::kFrameMask;

Domain domain_of(std::string_view argument) {
    for (const auto& row : kDomains)
        if (row.argument == argument) return row.domain;
    return Domain::kNumber;
}

/// The names in a row of the event table, without their formats.
std::vector<std::string_view> argument_names(Event event) {
    std::vector<std::string_view> names;
    std::string_view rest = rmap::info(event).arguments;
    while (!rest.empty()) {
        const auto blank = std::min(rest.find(' '), rest.size());
        const auto word = rest.substr(0, blank);
        names.push_back(word.substr(0, word.find(':')));
        rest.remove_prefix(std::min(blank + 1, rest.size()));
    }
    return names;
}

}  // namespace

std::optional<Event> event_of_capture(const std::string& name) {
    static const std::unordered_map<std::string, Event> by_name = [] {
        std::unordered_map<std::string, Event> map;
        for (std::size_t i = 0; i < rmap::kEventCount; ++i)
            if (!rmap::kEventTable[i].capture_5_0.empty())
                map.emplace(rmap::kEventTable[i].capture_5_0, static_cast<Event>(i));
        return map;
    }();
    const auto found = by_name.find(name);
    return found == by_name.end() ? std::nullopt : std::optional(found->second);
}

/// An event of ours by the names of its arguments.
struct Comparison::Ours {
    Event event;
    const rmap::EventArguments& values;
    std::vector<std::string_view> names;

    std::optional<std::uint64_t> find(std::string_view name) const {
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) return std::nullopt;
        return values[static_cast<std::size_t>(found - names.begin())];
    }
    std::uint64_t at(std::string_view name) const { return find(name).value_or(0); }
    std::uint64_t address() const { return find("addr").value_or(find("start").value_or(0)); }
};

bool Comparison::same_generation(std::uint64_t mm, std::uint64_t theirs, std::uint64_t ours) {
    if (mm == 0) return theirs == 0 && ours == 0;  // a batch: whatever is loaded
    const auto [base, first] = generation_base_.emplace(mm, theirs - ours);
    return first || base->second == theirs - ours;
}

bool Comparison::same_mapping(std::uint64_t theirs, std::optional<std::uint64_t> ours) {
    if (!ours)
        return theirs != 0 &&
               bindings_.ours(Identity::kMapping, theirs) < EventContext::kSwapperSpaces;
    if (theirs == 0 || *ours == 0) return theirs == *ours;
    return bindings_.bind(Identity::kMapping, theirs, *ours);
}

/// Page-table entries: the bits as they are, what they point to through its binding.
bool Comparison::same_entry(std::uint64_t theirs, std::uint64_t ours) {
    const Pte their{theirs};
    const Pte our{ours};
    if (their.none() || our.none()) return their.none() && our.none();
    if (their.present() != our.present()) return false;
    if (their.present())
        return (theirs & kPteFlags) == (ours & kPteFlags) &&
               bindings_.bind(Identity::kFrame, their.frame().value, our.frame().value);
    if (their.type() != our.type()) return false;
    if (their.migration()) return bindings_.bind(Identity::kFrame, their.offset(), our.offset());
    return bindings_.bind(Identity::kSwapSlot, their.offset() + 1, our.offset() + 1);
}

std::string Comparison::compare(const CaptureArgument& theirs, const CaptureEvent& event,
                                const Ours& ours) {
    std::string_view our_name = theirs.name;
    for (const auto& row : kAliases)
        if (row.event == event.name && row.theirs == theirs.name) our_name = row.ours;
    const Domain domain = domain_of(theirs.name);
    const auto value = ours.find(our_name);
    const auto differs = [&](const std::string& text) {
        return fmt::format("{} is {}, ours {}", theirs.name, theirs.text, text);
    };
    if (!theirs.number) {
        if (!value) return differs("unknown: our event has no such argument");
        const auto word = word_of(event.name, theirs.name, *value);
        return word == theirs.text ? std::string() : differs(std::string(word));
    }
    const std::uint64_t number = *theirs.number;

    if (domain == Domain::kVma) {
        const std::uint64_t address = theirs.name == "newvma" ? ours.at("new") : ours.address();
        const std::uint64_t vma = context_.vma(ours.at("mm"), address);
        return bindings_.bind(Identity::kVma, number, vma) ? std::string()
                                                           : differs("bound to another VMA");
    }
    if (domain == Domain::kMapping) {
        const auto frame = ours.find("src_pfn") ? ours.find("src_pfn") : ours.find("pfn");
        const auto mapping = frame ? context_.mapping(*frame) : value;
        if (same_mapping(number, mapping)) return {};
        return differs(mapping == std::uint64_t{0} ? "none" : "another address_space");
    }
    if (!value) return differs("unknown: our event has no such argument");
    const auto bound = [&](Identity what, std::uint64_t their, std::uint64_t our) {
        if (their == 0 || our == 0) return their == our;
        return bindings_.bind(what, their, our);
    };
    bool same = false;
    switch (domain) {
        case Domain::kMm:
            same = bound(Identity::kMm, number, *value);
            break;
        case Domain::kFrame:
            // What is freed was known before.
            same = ours.event == Event::kPageFree || ours.event == Event::kPageFreeBatched
                       ? bindings_.ours(Identity::kFrame, number) == *value
                       : bound(Identity::kFrame, number, *value);
            break;
        case Domain::kPtep:
            same = (number & kPageOffset) == (*value & kPageOffset) &&
                   bound(Identity::kTable, number & ~kPageOffset, *value & ~kPageOffset);
            break;
        case Domain::kPte:
            same = same_entry(number, *value);
            break;
        case Domain::kGeneration:
            same = same_generation(ours.at("mm"), number, *value);
            break;
        case Domain::kSwapEntry:
            same = bindings_.bind(Identity::kSwapSlot, number + 1, *value + 1);  // slot 0 is one
            break;
        case Domain::kErrorCode:
            same = number == (kFaultUser | (*value ? kFaultWrite : 0) |
                              (context_.protection_fault(event.cpu) ? kFaultPresent : 0));
            break;
        default:
            same = number == *value;
            break;
    }
    return same ? std::string() : differs(fmt::format("{:#x}", *value));
}

std::string Comparison::difference(const CaptureEvent& theirs, Event event,
                                   const rmap::EventArguments& values, const CallStack& calls) {
    if (event_of_capture(theirs.name) != event) return "another event";
    const Ours ours{event, values, argument_names(event)};
    for (const auto& argument : theirs.arguments) {
        if (argument.name == "caller") {
            const auto caller = calls.caller_of(event);
            if (!CallStack::is_same_caller(caller, argument.text))
                return fmt::format("caller is {}, ours {}", argument.text,
                                   caller.empty() ? "unknown" : caller);
            continue;
        }
        auto text = compare(argument, theirs, ours);
        if (!text.empty()) return text;
    }
    return {};
}

std::string event_text(Event event, const rmap::EventArguments& arguments) {
    std::string text(rmap::info(event).name);
    const auto names = argument_names(event);
    for (std::size_t i = 0; i < names.size(); ++i)
        text += fmt::format(" {}={:#x}", names[i], arguments[i]);
    return text;
}

std::string event_text(const CaptureEvent& event) {
    std::string text = event.name;
    for (const auto& argument : event.arguments)
        text += fmt::format(" {}={}", argument.name, argument.text);
    return text;
}

}  // namespace mmusim::platform
