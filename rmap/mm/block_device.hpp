// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// A disk that files and swap are written to, page by page. When a write ends is known when it is
/// submitted: KernelCosts::disk_write later. No interrupt says so: completions that are due run on
/// the CPU that next wants to know (end_finished_writes()), which is the same one in every run.
/// Does not model: merging, a limit of its queue, the completion interrupt.
class BlockDevice {
public:
    /// Set-up.
    explicit BlockDevice(KernelMemory& memory)
        : queue_lock_(memory.allocate_line()), in_flight_count_(memory.allocate_line()) {}

    /// submit_bio() of one page under write-back. Time passes: Part::kWriteback.
    void submit_write(Cpu& cpu, Page& page);
    /// When the write of this page ends; none if it is not in flight any more.
    std::optional<Instant> write_ends_at(Cpu& cpu, const Page& page);
    /// The write of this page is over now, whenever it was to end: for replays of what real disks
    /// did. Nothing happens if it is not in flight.
    void end_write(Cpu& cpu, const Page& page);
    /// Takes the writes that are over by now out of the queue, in the order of their ends.
    std::vector<Page*> take_finished_writes(Cpu& cpu);

private:
    struct Write {
        Page* page;
        Instant end;
    };

    Lock queue_lock_;  ///< taken with interrupts off
    /// Word: writes in flight, looked at without the lock. Who does not see the latest one yet
    /// could not find it finished either.
    PhysAddr in_flight_count_;
    std::deque<Write> in_flight_;  ///< queue_lock; ascending ends
};

}  // namespace mmusim::rmap
