// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/reclaim_lists.hpp"

#include <algorithm>

#include "rmap/mm/page_release.hpp"
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

/// The list that is scanned next: from now on to the event that says what became of it.
ReclaimLists::List ReclaimLists::read_list(rmap::CpuId cpu, bool active) const {
    const char* const end =
        active ? "mm_vmscan_lru_shrink_active" : "mm_vmscan_lru_shrink_inactive";
    const std::uint64_t locked = active ? kUnlocked : kLocked;
    List list;
    list.active = active;
    script_.for_rest_on(cpu, [&](const CaptureEvent& event) {
        if (event.irq) return true;
        if (event.name == "mark") return false;
        if (event.name == "page_referenced" && event.number("locked") == locked)
            list.seen.push_back(event.number("pfn"));
        if (event.name != end) return true;
        list.file = event.text("flags").find("RECLAIM_WB_FILE") != std::string::npos;
        list.nid = static_cast<rmap::NodeId>(event.number("nid"));
        list.priority = static_cast<unsigned>(event.number("priority"));
        list.length = event.number(active ? "nr_taken" : "nr_scanned");
        list.dirty = event.number("nr_dirty");
        list.waited_for = event.number("nr_congested");
        return false;
    });
    return list;
}

/// A page that was made since the operation began is the one that is mapped where the capture's is.
rmap::Page* ReclaimLists::ours_of(rmap::Cpu& cpu, std::uint64_t theirs) {
    auto& frames = kernel_.state().pages;
    if (const auto known = bindings_.ours(Identity::kFrame, theirs))
        return &frames.pfn_to_page({known});
    const CaptureEvent* visit = nullptr;
    script_.for_rest_on(cpu.id(), [&](const CaptureEvent& event) {
        if (event.name == "page_referenced_one" && event.number("pfn") == theirs) visit = &event;
        return !visit;
    });
    const auto mm = visit ? bindings_.ours(Identity::kMm, visit->number("mm")) : 0;
    if (mm == 0) return nullptr;
    const auto id = static_cast<rmap::MmId>(mm);
    const auto word = kernel_.read_pte(cpu, kernel_.mm(id), {visit->number("addr")});
    const rmap::Pte pte{word ? word->value : 0};
    if (!pte.present() || !bindings_.bind(Identity::kFrame, theirs, pte.frame().value))
        return nullptr;
    return &frames.pfn_to_page(pte.frame());
}

/// Whether it may be on that list. Nobody scans the unevictable ones.
bool ReclaimLists::is_of(rmap::Cpu& cpu, const List& list, const rmap::Page& page) const {
    return page.test(cpu, rmap::PageFlag::kLru) && !page.test(cpu, rmap::PageFlag::kUnevictable) &&
           page.nid() == list.nid && page.memcg == memcg_ &&
           page.test(cpu, rmap::PageFlag::kSwapBacked) != list.file;
}

/// Those that were seen, on our lists.
ReclaimLists::Pages ReclaimLists::pages_of(rmap::Cpu& cpu, const List& list) {
    Pages pages;
    for (const std::uint64_t theirs : list.seen) {
        rmap::Page* page = ours_of(cpu, theirs);
        if (page && !page->test(cpu, rmap::PageFlag::kLru))  // on its way there, by another CPU
            lockstep_.unrecorded(cpu, [&] { rmap::lru_add_drain_all(cpu, kernel_.state()); });
        if (!page || !is_of(cpu, list, *page) ||
            std::find(pages.begin(), pages.end(), page) != pages.end())
            lockstep_.fail(cpu, "a page of this list is on no such list of ours");
        pages.push_back(page);
    }
    return pages;
}

/// When a disk has written a page is given: by the time it is reclaimed, or so late that reclaim
/// had to wait; then for the first ones. What is over is rotated before the list is taken.
void ReclaimLists::end_writes(rmap::Cpu& cpu, const List& list, const Pages& seen) {
    auto& state = kernel_.state();
    std::uint64_t waited_for = list.waited_for;
    lockstep_.unrecorded(cpu, [&] {
        for (rmap::Page* page : seen) {
            if (list.active || !page->test(cpu, rmap::PageFlag::kWriteback)) continue;
            if (waited_for == 0) state.disk.end_write(cpu, *page);
            waited_for -= waited_for > 0;
        }
        rmap::end_finished_writes(cpu, state);
        rmap::lru_add_drain(cpu, state);
    });
}

/// Whether nobody asks if the page was referenced.
bool ReclaimLists::is_passed_over(rmap::Cpu& cpu, const List& list, const rmap::Page& page) {
    if (!rmap::page_evictable(cpu, page)) return true;
    if (list.active) return false;
    return rmap::page_locked(cpu, page) || (page.test(cpu, rmap::PageFlag::kWriteback) &&
                                            !page.test(cpu, rmap::PageFlag::kReclaim));
}

/// With as many more as the capture counts, where they are on our own list.
ReclaimLists::Pages ReclaimLists::with_unseen(rmap::Cpu& cpu, const List& list, const Pages& seen) {
    Pages ours;
    const auto& lru_list = kernel_.state().lru.lruvec(list.nid, memcg_).list(scan_.list);
    for (rmap::Page* page = lru_list.empty() ? nullptr : &lru_list.head(); page;
         page = rmap::PageList::next(*page))
        ours.push_back(page);
    std::reverse(ours.begin(), ours.end());  // from the tail on

    Pages all;
    auto next = seen.begin();
    for (rmap::Page* page : ours) {
        if (std::find(seen.begin(), seen.end(), page) != seen.end())
            all.push_back(*next++);
        else if (all.size() + static_cast<std::size_t>(seen.end() - next) < list.length &&
                 is_passed_over(cpu, list, *page))
            all.push_back(page);
    }
    all.insert(all.end(), next, seen.end());
    return all;
}

/// Makes our list end with the capture's, the first page of that at the very tail.
ReclaimLists::Pages ReclaimLists::place(rmap::Cpu& cpu, const List& list) {
    inputs_.count(Input::kLists);
    auto& lru = kernel_.state().lru;
    scan_.control.nid = list.nid;
    scan_.memcg = memcg_;
    scan_.list = list_of(list.file, list.active);
    scan_.control.target_mem_cgroup = memcg_;
    // How far a list is scanned falls from call to call of one attempt.
    scan_.control.priority = std::min(scan_.control.priority, list.priority);

    const Pages seen = pages_of(cpu, list);
    end_writes(cpu, list, seen);
    const Pages pages = with_unseen(cpu, list, seen);
    scan_.nr_to_scan = pages.size();
    for (auto next = pages.rbegin(); next != pages.rend(); ++next) {
        rmap::Page& page = **next;
        lru.list_of(page, page.flags(cpu)).remove(page);
        if (list.active)
            page.set(cpu, rmap::PageFlag::kActive);
        else
            page.clear(cpu, rmap::PageFlag::kActive);
        lru.lruvec(list.nid, memcg_).list(scan_.list).add_tail(page);
    }
    return pages;
}

/// Of the pages that nobody maps and a file system holds on to, as many are dirty as the count
/// says.
void ReclaimLists::set_dirty_metadata(rmap::Cpu& cpu, const List& list, const Pages& pages) {
    std::uint64_t dirty = list.dirty;
    for (const rmap::Page* page : pages) {
        const bool counts = !rmap::page_locked(cpu, *page) &&
                            !page->test(cpu, rmap::PageFlag::kPrivate) &&
                            !page->test(cpu, rmap::PageFlag::kSwapBacked) &&
                            (page->test(cpu, rmap::PageFlag::kDirty) ||
                             page->test(cpu, rmap::PageFlag::kWriteback));
        if (counts && dirty > 0) --dirty;
    }
    if (dirty > 0) inputs_.count(Input::kResults);
    for (rmap::Page* page : pages) {
        if (!page->test(cpu, rmap::PageFlag::kPrivate)) continue;
        if (dirty > 0)
            page->set(cpu, rmap::PageFlag::kDirty);
        else
            page->clear(cpu, rmap::PageFlag::kDirty);
        if (dirty > 0) --dirty;
    }
}

void ReclaimLists::shrink_active(rmap::Cpu& cpu) {
    place(cpu, read_list(cpu.id(), true));
    rmap::shrink_active_list(cpu, kernel_.state(), scan_);
}

void ReclaimLists::shrink_inactive(rmap::Cpu& cpu) {
    const List list = read_list(cpu.id(), false);
    set_dirty_metadata(cpu, list, place(cpu, list));
    reclaimed_ += rmap::shrink_inactive_list(cpu, kernel_.state(), scan_).reclaimed;
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
