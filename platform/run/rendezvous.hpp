// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/ports/line_allocator.hpp"
#include "rmap/ports/phys_mem_port.hpp"

namespace mmusim::platform {

/// How threads, guests and devices of a scenario wait for each other: through words of simulated
/// memory, as programs would, so that it costs time and does not depend on the simulator. Each
/// operation has words of its own: what one asks for is not mistaken for what another does.
class Rendezvous {
public:
    /// `users` answer every request of each of the operations 0 to operations - 1.
    Rendezvous(rmap::LineAllocator& lines, unsigned users, unsigned operations)
        : finished_(lines.allocate_line()), users_(users) {
        for (unsigned i = 0; i < operations; ++i)
            words_.push_back({lines.allocate_line(), lines.allocate_line()});
    }

    unsigned operations() const { return static_cast<unsigned>(words_.size()); }

    // ---- whoever carries out an operation ----
    /// Asks every user to touch its pages once. Returns the number of the request, from 1 on.
    std::uint64_t request_touch(rmap::PhysMemPort& memory, unsigned operation) {
        return memory.fetch_add(words_[operation].requests, 1, rmap::Part::kUser);
    }
    /// All have done so.
    bool answered(rmap::PhysMemPort& memory, unsigned operation, std::uint64_t request) {
        return memory.load(words_[operation].answers, rmap::Part::kUser).value >= request * users_;
    }
    void finish_operation(rmap::PhysMemPort& memory) {
        memory.fetch_add(finished_, 1, rmap::Part::kUser);
    }

    // ---- users ----
    /// Requests that an operation has made so far; a user answers each of them once.
    std::uint64_t requests(rmap::PhysMemPort& memory, unsigned operation) {
        return memory.load(words_[operation].requests, rmap::Part::kUser).value;
    }
    void answer(rmap::PhysMemPort& memory, unsigned operation) {
        memory.fetch_add(words_[operation].answers, 1, rmap::Part::kUser);
    }
    bool all_finished(rmap::PhysMemPort& memory) {
        return memory.load(finished_, rmap::Part::kUser).value == words_.size();
    }

    /// Time between two looks at a word.
    static constexpr rmap::Duration kPoll = rmap::nanoseconds(200);

private:
    struct Words {
        rmap::PhysAddr requests;
        rmap::PhysAddr answers;
    };

    const rmap::PhysAddr finished_;
    const unsigned users_;
    std::vector<Words> words_;
};

}  // namespace mmusim::platform
