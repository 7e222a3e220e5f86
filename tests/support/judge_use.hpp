// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/observe/access_record.hpp"

namespace mmusim::test {

/// Gives one use to an observer.
inline void judge_use(models::AccessObserver& observer, rmap::ActorId agent,
                      const models::AccessRecord& use) {
    const models::AccessBatch::Use only{use.time, 1};
    const models::AccessBatch::Kinds kinds{1, {use}};
    observer.judge(agent, {&only, &only + 1, kinds});
}

}  // namespace mmusim::test
