// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/cpu.hpp"
#include "rmap/ports/line_allocator.hpp"

namespace mmusim::platform {

/// How the threads of a scenario wait for each other: through words of simulated memory, as the
/// threads of a program would, so that it costs time and does not depend on the simulator.
class Rendezvous {
public:
    /// `threads` answer requests, `operations` are carried out.
    Rendezvous(rmap::LineAllocator& lines, unsigned threads, unsigned operations)
        : requests_(lines.allocate_line()),
          answers_(lines.allocate_line()),
          finished_(lines.allocate_line()),
          threads_(threads),
          operations_(operations) {}

    // ---- whoever carries out an operation ----
    /// Asks every thread to touch all its pages once, and waits until all have done so.
    void request_touch(rmap::Cpu& cpu) {
        const auto request = cpu.memory().fetch_add(requests_, 1, rmap::Part::kUser);
        while (cpu.memory().load(answers_, rmap::Part::kUser).value < request * threads_)
            cpu.spend(kPoll, rmap::Part::kUser);
    }
    void finish_operation(rmap::Cpu& cpu) {
        cpu.memory().fetch_add(finished_, 1, rmap::Part::kUser);
    }

    // ---- threads ----
    /// Requests made so far; a thread answers each of them once.
    std::uint64_t requests(rmap::Cpu& cpu) {
        return cpu.memory().load(requests_, rmap::Part::kUser).value;
    }
    void answer(rmap::Cpu& cpu) { cpu.memory().fetch_add(answers_, 1, rmap::Part::kUser); }
    bool all_finished(rmap::Cpu& cpu) {
        return cpu.memory().load(finished_, rmap::Part::kUser).value == operations_;
    }

    /// Time between two looks at a word.
    static constexpr rmap::Duration kPoll = rmap::nanoseconds(200);

private:
    const rmap::PhysAddr requests_;
    const rmap::PhysAddr answers_;
    const rmap::PhysAddr finished_;
    const unsigned threads_;
    const unsigned operations_;
};

}  // namespace mmusim::platform
