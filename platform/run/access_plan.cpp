// SPDX-License-Identifier: Apache-2.0
#include "platform/run/access_plan.hpp"

namespace mmusim::platform {

namespace {

constexpr unsigned kAccessesPerLook = 64;

}  // namespace

AccessPlan::Next AccessPlan::next(rmap::PhysMemPort& memory) {
    for (;;) {
        while (!touching_.empty()) {
            Touch& touch = touching_.front();
            if (touch.range.start < touch.range.end) {
                access_ = {touch.range.start, touch.access};
                touch.range.start = touch.range.start + rmap::kPageSize;
                return Next::kAccess;
            }
            touching_.pop_front();
        }
        if (answering_) {
            rendezvous_.answer(memory, operation_);
            ++answers_;
            answering_ = false;
        }
        if (until_look_ == 0) {
            if (!look(memory)) return Next::kFinished;
            if (answering_) continue;
            until_look_ = kAccessesPerLook;
        }
        if (use_.accesses.empty() || (use_.limit && done_ == use_.limit)) {
            until_look_ = 0;
            return Next::kWait;
        }
        --until_look_;
        ++done_;
        access_ = use_.accesses.next();
        return Next::kAccess;
    }
}

/// False when everything is over. Takes up one request that is not answered yet.
bool AccessPlan::look(rmap::PhysMemPort& memory) {
    if (rendezvous_.all_finished(memory)) return false;
    for (unsigned operation = 0; operation < rendezvous_.operations(); ++operation) {
        if (answered_[operation] >= rendezvous_.requests(memory, operation)) continue;
        const auto touches = use_.touched(operation, ++answered_[operation]);
        touching_.assign(touches.begin(), touches.end());
        for (const Touch& touch : touches)
            if (use_.follows_unmapping && touch.is_unmapped_next) use_.accesses.follow(touch.range);
        answering_ = true;
        operation_ = operation;
        break;
    }
    return true;
}

}  // namespace mmusim::platform
