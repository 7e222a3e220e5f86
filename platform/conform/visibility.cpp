// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/visibility.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace mmusim::platform {

using rmap::Event;

namespace {

constexpr std::uint64_t kLargeScenario = 512;  ///< pages

/// Left out of large scenarios.
bool is_detail(Event event) {
    switch (event) {
        case Event::kPageFreeBatched:
        case Event::kPageVmaMappedWalk:
        case Event::kPageVmaMappedWalkRet:
        case Event::kLockAnonVmaRead:
        case Event::kRmapWalkAnonRet:
        case Event::kRmapWalkFileRet:
            return true;
        default:
            return false;
    }
}

/// Recorded only if it names a page of the scenario; its first argument is the page.
bool is_of_one_page(Event event) {
    switch (event) {
        case Event::kPageRemoveRmap:
        case Event::kPageAddFileRmap:
        case Event::kPageFree:
        case Event::kPageFreeBatched:
            return true;
        default:
            return false;
    }
}

/// Kinds of events whose pages the tracer followed from then on: walks of the reverse map, and new
/// mappings and copies.
bool makes_known(const std::string& name) {
    constexpr std::string_view kKinds[] = {
        "rmap_walk_anon",   "rmap_walk_file",     "try_to_unmap",    "mm_page_free",
        "move_to_new_page", "page_add_anon_rmap", "page_remove_rmap"};
    return std::find(std::begin(kKinds), std::end(kKinds), name) != std::end(kKinds);
}

/// Besides those of the target it noticed when pages are freed that somebody had unmapped, and no
/// others: pages that nobody maps, and new ones that migration gives back.
bool makes_known_when_freed(const std::string& name) {
    return name == "try_to_unmap" || name == "mm_page_free";
}

/// What names a page or an address space of the scenario: all that was recorded of other tasks.
bool names_identity(Event event) {
    switch (event) {
        case Event::kPageMkclean:
        case Event::kPageMkcleanOne:
        case Event::kRmapWalkFile:
        case Event::kPageVmaMappedWalk:
        case Event::kPtepClearFlush:
        case Event::kFlushTlbMmRange:
        case Event::kFlushTlbOthers:
        case Event::kSetPageDirty:
            return true;
        default:
            return false;
    }
}

}  // namespace

Visibility::Visibility(const Capture& capture, const Bindings& bindings)
    : bindings_(bindings),
      target_(capture.target),
      large_(capture.target.pages() >= kLargeScenario) {
    for (const auto& page : capture.pages_before)
        if (page.pfn) known_frames_.insert(*page.pfn);
    freed_frames_ = known_frames_;
    for (const auto& event : capture.events) {
        if (makes_known_when_freed(event.name)) freed_frames_.insert(event.number("pfn"));
        if (!makes_known(event.name)) continue;
        for (const auto* argument : {"pfn", "src_pfn", "dst_pfn"})
            if (const auto frame = event.number(argument)) known_frames_.insert(frame);
    }
}

bool Visibility::names_known_page(Event event, const rmap::EventArguments& arguments) const {
    const auto theirs = bindings_.theirs(Identity::kFrame, arguments[0]);
    const bool frees = event == Event::kPageFree || event == Event::kPageFreeBatched;
    return theirs != 0 && (frees ? freed_frames_ : known_frames_).count(theirs) != 0;
}

/// Of switches by others only the fact, and not even that if an interrupt made them.
bool Visibility::is_recorded_of_stranger(Event event, const rmap::EventArguments& arguments,
                                         By by) {
    if (event == Event::kSwitchMm) return by == By::kStranger;
    if (event == Event::kTlbFlush)
        return arguments[0] != static_cast<std::uint64_t>(rmap::TlbFlushReason::kTaskSwitch);
    return by == By::kStrangersInterrupt || names_identity(event);
}

bool Visibility::recorded(Event event, const rmap::EventArguments& arguments, By by) const {
    if (rmap::info(event).capture_5_0.empty()) return false;
    if (event == Event::kFreeUnrefPageList) return false;
    // By flush_tlb_func(), which says that it comes from nowhere: no address space of the scenario.
    if (event == Event::kSwitchMm && arguments[1] == rmap::kInitMm) return false;
    if (large_ && is_detail(event)) return false;
    if (is_of_one_page(event)) return names_known_page(event, arguments);
    if (event == Event::kPageFault || event == Event::kHandleMmFault)
        return target_.contains({arguments[1]});
    return by == By::kScenario || is_recorded_of_stranger(event, arguments, by);
}

}  // namespace mmusim::platform
