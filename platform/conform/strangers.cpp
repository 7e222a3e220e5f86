// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/strangers.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace mmusim::platform {

namespace {

/// Goes through the events once.
class Search {
public:
    explicit Search(const Capture& capture) : capture_(capture), target_(capture.target) {
        for (const auto& page : capture.pages_before)
            if (page.pfn) target_frames_.insert(*page.pfn);
        for (const auto& event : capture.events)
            if (visits_vma(event) && target_.contains({event.number("addr")}))
                target_frames_.insert(event.number("pfn"));
        for (const auto& event : capture.events) look_at(event);
    }

    Cast take() { return std::move(cast_); }

private:
    static bool visits_vma(const CaptureEvent& event) {
        return event.name == "page_referenced_one" || event.name == "try_to_unmap_one" ||
               event.name == "page_idle_clear_pte_refs_one";
    }

    void look_at(const CaptureEvent& event) {
        const std::uint64_t pfn = event.number("pfn");
        if (event.name == "page_referenced") {
            if (!is_target(pfn)) stranger(pfn);
        } else if (event.name == "rmap_walk_anon" || event.name == "rmap_walk_file") {
            if (Stranger* page = find(pfn); page && page->kind == Stranger::Kind::kUnmapped)
                page->kind =
                    event.name == "rmap_walk_anon" ? Stranger::Kind::kAnon : Stranger::Kind::kFile;
        } else if (event.name == "__remove_mapping") {
            if (Stranger* page = find(pfn)) page->reclaimed = true;
        } else if (visits_vma(event)) {
            visit(event, pfn);
        } else if (event.name == "page_vma_mapped_walk_ret" ||
                   event.name == "ptep_clear_flush_young") {
            found_ |= event.name == "ptep_clear_flush_young" || event.number("ret") != 0;
            if (new_visit_) new_visit_->mapped = found_;
        }
    }

    void visit(const CaptureEvent& event, std::uint64_t pfn) {
        new_visit_ = nullptr;
        found_ = false;
        const rmap::VirtAddr address{event.number("addr")};
        const std::uint64_t mm = event.number("mm");
        if (!is_of_scenario(mm)) return;
        if (is_target(pfn)) {
            if (seen_.insert({mm, address.value}).second)
                cast_.target_pages.push_back({mm, address, pfn});
            return;
        }
        Stranger& page = stranger(pfn);
        const std::uint64_t vma = event.number("vma");
        auto known = std::find_if(page.visits.begin(), page.visits.end(),
                                  [&](const auto& v) { return v.vma == vma; });
        if (known == page.visits.end()) {
            page.visits.push_back({mm, vma, address, 0, false});
            known = std::prev(page.visits.end());
            new_visit_ = &*known;
        }
        if (const auto flags = event.number("vm_flags")) known->vm_flags = flags;
    }

    /// The header lists the address spaces of all processes but the operator's.
    bool is_of_scenario(std::uint64_t mm) const {
        const auto by = capture_.args.find("by");
        return capture_.mms.count(mm) != 0 || (by != capture_.args.end() && by->second == "rec");
    }
    bool is_target(std::uint64_t pfn) const { return target_frames_.count(pfn) != 0; }
    Stranger* find(std::uint64_t pfn) {
        const auto found = std::find_if(cast_.strangers.begin(), cast_.strangers.end(),
                                        [&](const Stranger& s) { return s.pfn == pfn; });
        return found == cast_.strangers.end() ? nullptr : &*found;
    }
    Stranger& stranger(std::uint64_t pfn) {
        if (Stranger* known = find(pfn)) return *known;
        new_visit_ = nullptr;
        cast_.strangers.push_back({pfn, Stranger::Kind::kUnmapped, {}, false});
        return cast_.strangers.back();
    }

    const Capture& capture_;
    const rmap::VirtRange target_;
    std::set<std::uint64_t> target_frames_;
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen_;
    Cast cast_;
    Stranger::Visit* new_visit_ = nullptr;
    bool found_ = false;
};

}  // namespace

Cast find_cast(const Capture& capture, const ProgramMemory& program) {
    Cast cast = Search(capture).take();
    if (!program.empty()) cast.strangers.clear();
    return cast;
}

}  // namespace mmusim::platform
