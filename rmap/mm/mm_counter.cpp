// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mm_counter.hpp"

#include <algorithm>

#include "rmap/mm/task.hpp"

namespace mmusim::rmap {

namespace {

constexpr unsigned kRssEventsThreshold = 64;  // TASK_RSS_EVENTS_THRESH

}  // namespace

void add_mm_counter(Cpu& cpu, const Mm& mm, MmCounter counter, std::int64_t delta) {
    cpu.memory().fetch_add(mm.rss_word(counter), delta, Part::kPageState);
    cpu.emit(Event::kMmCounter, {mm.context.id, static_cast<std::uint64_t>(counter),
                                 static_cast<std::uint64_t>(delta)});
}

void add_mm_counter_fast(Cpu& cpu, const Mm& mm, MmCounter counter, std::int64_t delta) {
    if (cpu.current && cpu.current->mm == &mm)
        cpu.current->rss_stat.count[static_cast<std::size_t>(counter)] += delta;
    else
        add_mm_counter(cpu, mm, counter, delta);
}

void sync_mm_rss(Cpu& cpu, const Mm& mm) {
    auto& rss_stat = cpu.current->rss_stat;
    for (unsigned i = 0; i < kMmCounters; ++i) {
        if (rss_stat.count[i])
            add_mm_counter(cpu, mm, static_cast<MmCounter>(i), rss_stat.count[i]);
        rss_stat.count[i] = 0;
    }
    rss_stat.events = 0;
}

void check_sync_rss_stat(Cpu& cpu) {
    if (!cpu.current || !cpu.current->mm) return;
    if (cpu.current->rss_stat.events++ > kRssEventsThreshold) sync_mm_rss(cpu, *cpu.current->mm);
}

void add_mm_rss_vec(Cpu& cpu, const Mm& mm, const MmCounterVector& rss) {
    if (cpu.current && cpu.current->mm == &mm) sync_mm_rss(cpu, mm);
    for (unsigned i = 0; i < kMmCounters; ++i)
        if (rss[i]) add_mm_counter(cpu, mm, static_cast<MmCounter>(i), rss[i]);
}

MmCounter mm_counter(Cpu& cpu, const Page& page) {
    if (page.mapping(cpu).anon()) return MmCounter::kAnonPages;
    return page.test(cpu, PageFlag::kSwapBacked) ? MmCounter::kShmemPages : MmCounter::kFilePages;
}

std::uint64_t get_mm_counter(Cpu& cpu, const Mm& mm, MmCounter counter) {
    const auto value =
        static_cast<std::int64_t>(cpu.memory().load(mm.rss_word(counter), Part::kPageState).value);
    return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
}

std::uint64_t get_mm_rss(Cpu& cpu, const Mm& mm) {
    return get_mm_counter(cpu, mm, MmCounter::kFilePages) +
           get_mm_counter(cpu, mm, MmCounter::kAnonPages) +
           get_mm_counter(cpu, mm, MmCounter::kShmemPages);
}

void update_hiwater_rss(Cpu& cpu, const Mm& mm) {
    const std::uint64_t rss = get_mm_rss(cpu, mm);
    const std::uint64_t hiwater = cpu.memory().load(mm.hiwater_rss, Part::kPageState).value;
    if (hiwater < rss) cpu.memory().store(mm.hiwater_rss, {rss, 0}, Part::kPageState);
    cpu.emit(Event::kUpdateHiwaterRss, {mm.context.id, std::max(hiwater, rss)});
}

}  // namespace mmusim::rmap
