// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/reclaim_lists.hpp"

#include <algorithm>

#include "rmap/mm/page_writeback.hpp"
#include "rmap/mm/pagevec.hpp"
#include "rmap/reclaim/lru_scan.hpp"

namespace mmusim::platform {

using rmap::LruList;

namespace {

constexpr std::uint64_t kLocked = 1;
constexpr std::uint64_t kUnlocked = 0;
constexpr unsigned kDefPriority = 12;    // DEF_PRIORITY
constexpr unsigned kReclaimRetries = 5;  // MEM_CGROUP_RECLAIM_RETRIES
constexpr std::uint64_t kMayWritepage = 1;
constexpr std::uint64_t kGfpHighuserMovable = 0x6200ca;  // GFP_HIGHUSER_MOVABLE
constexpr std::uint64_t kHighestZone = 2;                // MAX_NR_ZONES - 1

LruList list_of(bool file, bool active) {
    return static_cast<LruList>((file ? 2u : 0u) + (active ? 1u : 0u));
}

}  // namespace

/// The pages that page_referenced() was asked about, from the next event to the end of the list.
ReclaimLists::Frames ReclaimLists::pages_until(rmap::CpuId cpu, const std::string& end,
                                               std::uint64_t locked) const {
    Frames frames;
    script_.for_rest_on(cpu, [&](const CaptureEvent& event) {
        if (event.irq) return true;
        if (event.name == end || event.name == "mark") return false;
        if (event.name == "page_referenced" && event.number("locked") == locked)
            frames.push_back(event.number("pfn"));
        return true;
    });
    return frames;
}

/// A page that was made since the operation began is the one that is mapped where the capture's is.
std::uint64_t ReclaimLists::ours_of(rmap::Cpu& cpu, std::uint64_t theirs) {
    if (const auto known = bindings_.ours(Identity::kFrame, theirs)) return known;
    const CaptureEvent* visit = nullptr;
    script_.for_rest_on(cpu.id(), [&](const CaptureEvent& event) {
        if (event.name == "page_referenced_one" && event.number("pfn") == theirs) visit = &event;
        return !visit;
    });
    const auto mm = visit ? bindings_.ours(Identity::kMm, visit->number("mm")) : 0;
    if (mm == 0) return 0;
    const auto id = static_cast<rmap::MmId>(mm);
    const auto word = kernel_.read_pte(cpu, kernel_.mm(id), {visit->number("addr")});
    const rmap::Pte pte{word ? word->value : 0};
    if (!pte.present() || !bindings_.bind(Identity::kFrame, theirs, pte.frame().value)) return 0;
    return pte.frame().value;
}

/// What else moves pages about has happened by the time of the capture's list: disks have written
/// what they were given, so that it was rotated.
void ReclaimLists::settle(rmap::Cpu& cpu) {
    lockstep_.unrecorded(cpu, [&] {
        cpu.spend(cpu.costs().disk_write, rmap::Part::kIdle);
        rmap::end_finished_writes(cpu, kernel_.state());
        rmap::lru_add_drain(cpu, kernel_.state());
    });
}

/// Makes the list end with these pages, the first of them at the very tail.
bool ReclaimLists::place(rmap::Cpu& cpu, const Frames& theirs, bool active) {
    settle(cpu);
    inputs_.count(Input::kLists);
    auto& state = kernel_.state();
    for (auto frame = theirs.rbegin(); frame != theirs.rend(); ++frame) {
        const std::uint64_t ours = ours_of(cpu, *frame);
        if (ours == 0) return false;
        rmap::Page& page = state.pages.pfn_to_page({ours});
        if (!page.test(cpu, rmap::PageFlag::kLru))  // it was on its way, by another CPU
            lockstep_.unrecorded(cpu, [&] { rmap::lru_add_drain_all(cpu, state); });
        // Nobody scans the unevictable ones.
        if (!page.test(cpu, rmap::PageFlag::kLru) || page.test(cpu, rmap::PageFlag::kUnevictable))
            return false;
        auto& from = state.lru.list_of(page, page.flags(cpu));
        from.remove(page);
        if (active)
            page.set(cpu, rmap::PageFlag::kActive);
        else
            page.clear(cpu, rmap::PageFlag::kActive);
        const bool file = !page.test(cpu, rmap::PageFlag::kSwapBacked);
        scan_.control.nid = page.nid();
        scan_.memcg = page.memcg;
        scan_.list = list_of(file, active);
        state.lru.lruvec(page.nid(), page.memcg).list(scan_.list).add_tail(page);
    }
    scan_.nr_to_scan = theirs.size();
    scan_.control.target_mem_cgroup = memcg_;
    return true;
}

/// Of the pages that nobody maps and a file system holds on to, as many are dirty as the count
/// says.
void ReclaimLists::set_dirty_metadata(rmap::Cpu& cpu, const Frames& theirs) {
    std::uint64_t dirty = 0;
    script_.for_rest_on(cpu.id(), [&](const CaptureEvent& event) {
        dirty = event.number("nr_dirty");
        return event.name != "mm_vmscan_lru_shrink_inactive";
    });
    const auto page_of = [&](std::uint64_t frame) -> rmap::Page& {
        return kernel_.state().pages.pfn_to_page({bindings_.ours(Identity::kFrame, frame)});
    };
    for (const auto frame : theirs) {
        const rmap::Page& page = page_of(frame);
        const bool counts = !page.test(cpu, rmap::PageFlag::kPrivate) &&
                            !page.test(cpu, rmap::PageFlag::kSwapBacked) &&
                            page.test(cpu, rmap::PageFlag::kDirty);
        if (counts && dirty > 0) --dirty;
    }
    if (dirty > 0) inputs_.count(Input::kResults);
    for (const auto frame : theirs) {
        rmap::Page& page = page_of(frame);
        if (!page.test(cpu, rmap::PageFlag::kPrivate)) continue;
        if (dirty > 0)
            page.set(cpu, rmap::PageFlag::kDirty);
        else
            page.clear(cpu, rmap::PageFlag::kDirty);
        if (dirty > 0) --dirty;
    }
}

void ReclaimLists::shrink_active(rmap::Cpu& cpu) {
    const Frames pages = pages_until(cpu.id(), "mm_vmscan_lru_shrink_active", kUnlocked);
    read_priority(cpu.id(), "mm_vmscan_lru_shrink_active");
    if (!place(cpu, pages, true)) lockstep_.fail(cpu, "a page of this list is on no list of ours");
    rmap::shrink_active_list(cpu, kernel_.state(), scan_);
}

void ReclaimLists::shrink_inactive(rmap::Cpu& cpu) {
    const Frames pages = pages_until(cpu.id(), "shrink_page_list_ret", kLocked);
    read_priority(cpu.id(), "mm_vmscan_lru_shrink_inactive");
    if (!place(cpu, pages, false)) lockstep_.fail(cpu, "a page of this list is on no list of ours");
    set_dirty_metadata(cpu, pages);
    reclaimed_ += rmap::shrink_inactive_list(cpu, kernel_.state(), scan_).reclaimed;
}

/// How far a list is scanned falls from call to call of one attempt.
void ReclaimLists::read_priority(rmap::CpuId cpu, const std::string& end) {
    script_.for_rest_on(cpu, [&](const CaptureEvent& event) {
        if (event.name != end) return true;
        const auto theirs = static_cast<unsigned>(event.number("priority"));
        scan_.control.priority = std::min(scan_.control.priority, theirs);
        return false;
    });
}

void ReclaimLists::shrink_lists(rmap::Cpu& cpu) {
    while (const CaptureEvent* next = lockstep_.await_activity(cpu)) {
        if (next->name == "page_referenced" && next->number("locked") == kUnlocked)
            shrink_active(cpu);
        else if (next->name == "shrink_page_list")
            shrink_inactive(cpu);
        else
            return;
    }
}

/// try_to_free_mem_cgroup_pages()
void ReclaimLists::try_to_free_pages(rmap::Cpu& cpu) {
    reclaimed_ = 0;
    scan_.control.priority = kDefPriority;
    cpu.emit(rmap::Event::kMemcgReclaimBegin,
             {0, kMayWritepage, kGfpHighuserMovable, kHighestZone});
    shrink_lists(cpu);
    cpu.emit(rmap::Event::kMemcgReclaimEnd, {reclaimed_});
}

/// mem_cgroup_force_empty()
void ReclaimLists::force_empty(rmap::Cpu& cpu) {
    // By workers of the CPUs.
    lockstep_.unrecorded(cpu, [&] { rmap::lru_add_drain_all(cpu, kernel_.state()); });
    for (unsigned retries = kReclaimRetries; retries > 0 && !lockstep_.over();) {
        try_to_free_pages(cpu);
        if (reclaimed_ == 0) --retries;
    }
}

}  // namespace mmusim::platform
