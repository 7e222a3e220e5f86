// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "platform/run/access_stream.hpp"
#include "platform/run/rendezvous.hpp"

namespace mmusim::platform {

/// What an operation asks a user of memory to touch: every page of the range once.
struct Touch {
    rmap::VirtRange range;
    rmap::Access access;
    bool is_unmapped_next = false;  ///< the operation takes the range away after that
};

/// How a thread, a vCPU or a device uses the memory of a process.
struct MemoryUse {
    AccessStream accesses;
    /// What it touches on the n-th request of an operation, from 1 on.
    std::function<std::vector<Touch>(unsigned operation, std::uint64_t request)> touched;
    std::uint64_t limit = 0;  ///< accesses after which it only waits; 0 = none
    /// Goes on using what is being unmapped, and takes the refusals: a device may, a thread may
    /// not.
    bool follows_unmapping = false;
};

/// What a user of memory does next: what operations ask for comes first, then its own accesses,
/// until every operation is finished. Looks at the rendezvous through the memory port of the user.
class AccessPlan {
public:
    enum class Next {
        kAccess,    ///< access() is to be made
        kWait,      ///< nothing to do; to be asked again after Rendezvous::kPoll
        kFinished,  ///< all operations are over
    };

    AccessPlan(MemoryUse use, Rendezvous& rendezvous)
        : use_(std::move(use)), rendezvous_(rendezvous), answered_(rendezvous.operations(), 0) {}

    /// Time may pass in `memory`.
    Next next(rmap::PhysMemPort& memory);
    /// Whether all operations are over, whatever is left to do. Time may pass in `memory`.
    bool is_pointless(rmap::PhysMemPort& memory) { return rendezvous_.all_finished(memory); }
    const AccessStream::Access& access() const { return access_; }

    /// Has answered `requests` requests in all.
    std::uint64_t answers() const { return answers_; }

private:
    bool look(rmap::PhysMemPort& memory);

    MemoryUse use_;
    Rendezvous& rendezvous_;
    std::vector<std::uint64_t> answered_;  ///< by operation
    std::deque<Touch> touching_;           ///< the first one begins with the next page
    bool answering_ = false;
    unsigned operation_ = 0;  ///< that is being answered
    AccessStream::Access access_{};
    unsigned until_look_ = 0;  ///< own accesses before the next look
    std::uint64_t done_ = 0;   ///< own accesses
    std::uint64_t answers_ = 0;
};

}  // namespace mmusim::platform
