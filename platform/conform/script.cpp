// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/script.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace mmusim::platform {

const std::vector<IgnoredEvents>& ignored_events() {
    static const std::vector<IgnoredEvents> table{
        {"free_unref_page_list", "always",
         "also called with an empty list whenever a pagevec of the CPU is drained, and what it "
         "holds "
         "depends on what others did there; every page that is freed has its own events"},
        {"mm_page_free",
         "of a frame that was freed before, with other events but none of its own in between",
         "it had another use meanwhile, such as zram's"},
        {"tlb_flush", "reason task_switch, without its switch_mm_irqs_off",
         "a switch between two address spaces outside the scenario"},
        {"(any)", "by a task outside the scenario, not in interrupt context",
         "timeout, init, kworker and others share the CPUs; what they do to the scenario's memory "
         "is given where it matters (switch_mm_irqs_off), and what a flusher thread does is ours, "
         "too"},
    };
    return table;
}

Script::Script(const Capture& capture) {
    for (const auto& task : capture.processes) cast_.insert(task.name);
    for (const auto& task : capture.threads) cast_.insert(task.name);
    std::map<rmap::CpuId, const CaptureEvent*> last;
    for (const auto& event : capture.events) {
        if (is_ignored(capture, event) || is_foreign_switch(capture, event, last[event.cpu]))
            ++ignored_;
        else
            events_.push_back(&event);
        last[event.cpu] = &event;
    }
}

std::size_t Script::events_without_marks() const {
    return ignored_ + static_cast<std::size_t>(
                          std::count_if(events_.begin(), events_.end(),
                                        [](const auto* event) { return event->name != "mark"; }));
}

/// Of a switch between two address spaces outside the scenario (one may be the operator's) only the
/// flush was recorded.
bool Script::is_foreign_switch(const Capture& capture, const CaptureEvent& event,
                               const CaptureEvent* before) {
    return event.name == "tlb_flush" && event.text("reason") == "task_switch" &&
           capture.mm_of_task(event.task) == 0 && !(before && before->name == "switch_mm_irqs_off");
}

/// A frame that has been freed and that nothing has named since. While pages are only freed nobody
/// allocates any.
bool Script::is_free_of_other_use(const CaptureEvent& event) {
    if (event.name == "mm_page_free") {
        const auto [freed, first] = free_frames_.try_emplace(event.number("pfn"), done_);
        return !first && std::exchange(freed->second, done_) != done_;
    }
    if (event.name == "mm_page_free_batched") return false;
    ++done_;
    for (const auto* argument : {"pfn", "dst_pfn"})
        if (event.find(argument)) free_frames_.erase(event.number(argument));
    return false;
}

bool Script::is_ignored(const Capture& capture, const CaptureEvent& event) {
    if (event.name == "free_unref_page_list") return true;
    if (is_free_of_other_use(event)) return true;
    if (event.name == "switch_mm_irqs_off") return false;
    if (capture.has_flusher && event.cpu == Capture::kFlusherCpu) return false;
    // An idle CPU, or one that runs somebody else, answers interrupts like any other.
    return !has_task(event.task) && !event.irq;
}

const CaptureEvent* Script::next_on(rmap::CpuId cpu) const {
    const CaptureEvent* found = nullptr;
    for_rest_on(cpu, [&](const CaptureEvent& event) {
        found = &event;
        return false;
    });
    return found;
}

}  // namespace mmusim::platform
