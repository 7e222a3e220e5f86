// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/block_device.hpp"

#include <algorithm>

namespace mmusim::rmap {

void BlockDevice::submit_write(Cpu& cpu, Page& page) {
    cpu.spend(cpu.costs().submit_bio, Part::kWriteback);
    const InterruptsOff irq(cpu.time());
    queue_lock_.lock(cpu);
    cpu.memory().fetch_add(in_flight_count_, 1, Part::kWriteback);
    const Instant end = cpu.now() + cpu.costs().disk_write;
    const auto later =
        std::upper_bound(in_flight_.begin(), in_flight_.end(), end,
                         [](Instant at, const Write& write) { return at < write.end; });
    in_flight_.insert(later, {&page, end});
    queue_lock_.unlock(cpu);
}

std::optional<Instant> BlockDevice::write_ends_at(Cpu& cpu, const Page& page) {
    const InterruptsOff irq(cpu.time());
    queue_lock_.lock(cpu);
    const auto write = std::find_if(in_flight_.begin(), in_flight_.end(),
                                    [&](const Write& other) { return other.page == &page; });
    std::optional<Instant> end;
    if (write != in_flight_.end()) end = write->end;
    queue_lock_.unlock(cpu);
    return end;
}

void BlockDevice::end_write(Cpu& cpu, const Page& page) {
    const InterruptsOff irq(cpu.time());
    queue_lock_.lock(cpu);
    const auto write = std::find_if(in_flight_.begin(), in_flight_.end(),
                                    [&](const Write& other) { return other.page == &page; });
    if (write != in_flight_.end()) {
        const Write over{write->page, cpu.now()};
        in_flight_.erase(write);
        const auto later =
            std::upper_bound(in_flight_.begin(), in_flight_.end(), over.end,
                             [](Instant at, const Write& other) { return at < other.end; });
        in_flight_.insert(later, over);
    }
    queue_lock_.unlock(cpu);
}

std::vector<Page*> BlockDevice::take_finished_writes(Cpu& cpu) {
    std::vector<Page*> finished;
    if (cpu.memory().load(in_flight_count_, Part::kPageState).value == 0) return finished;
    const InterruptsOff irq(cpu.time());
    queue_lock_.lock(cpu);
    const Instant now = cpu.now();
    while (!in_flight_.empty() && in_flight_.front().end <= now) {
        finished.push_back(in_flight_.front().page);
        in_flight_.pop_front();
    }
    cpu.memory().fetch_add(in_flight_count_, -static_cast<std::int64_t>(finished.size()),
                           Part::kWriteback);
    queue_lock_.unlock(cpu);
    return finished;
}

}  // namespace mmusim::rmap
