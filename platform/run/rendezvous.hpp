// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/ports/cpu.hpp"
#include "rmap/ports/line_allocator.hpp"

namespace mmusim::platform {

/// How the threads of a scenario wait for each other: through words of simulated memory, as the
/// threads of a program would, so that it costs time and does not depend on the simulator. Each
/// operation has words of its own: what one asks for is not mistaken for what another does.
class Rendezvous {
public:
    /// `threads` answer every request of each of the operations 0 to operations - 1.
    Rendezvous(rmap::LineAllocator& lines, unsigned threads, unsigned operations)
        : finished_(lines.allocate_line()), threads_(threads) {
        for (unsigned i = 0; i < operations; ++i)
            words_.push_back({lines.allocate_line(), lines.allocate_line()});
    }

    unsigned operations() const { return static_cast<unsigned>(words_.size()); }

    // ---- whoever carries out an operation ----
    /// Asks every thread to touch its pages once, and waits until all have done so.
    void request_touch(rmap::Cpu& cpu, unsigned operation) {
        const Words& words = words_[operation];
        const auto request = cpu.memory().fetch_add(words.requests, 1, rmap::Part::kUser);
        while (cpu.memory().load(words.answers, rmap::Part::kUser).value < request * threads_)
            cpu.spend(kPoll, rmap::Part::kUser);
    }
    void finish_operation(rmap::Cpu& cpu) {
        cpu.memory().fetch_add(finished_, 1, rmap::Part::kUser);
    }

    // ---- threads ----
    /// Requests that an operation has made so far; a thread answers each of them once.
    std::uint64_t requests(rmap::Cpu& cpu, unsigned operation) {
        return cpu.memory().load(words_[operation].requests, rmap::Part::kUser).value;
    }
    void answer(rmap::Cpu& cpu, unsigned operation) {
        cpu.memory().fetch_add(words_[operation].answers, 1, rmap::Part::kUser);
    }
    bool all_finished(rmap::Cpu& cpu) {
        return cpu.memory().load(finished_, rmap::Part::kUser).value == words_.size();
    }

    /// Time between two looks at a word.
    static constexpr rmap::Duration kPoll = rmap::nanoseconds(200);

private:
    struct Words {
        rmap::PhysAddr requests;
        rmap::PhysAddr answers;
    };

    const rmap::PhysAddr finished_;
    const unsigned threads_;
    std::vector<Words> words_;
};

}  // namespace mmusim::platform
