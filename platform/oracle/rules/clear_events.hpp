// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Whether `event` clears a page-table entry. All of them have the arguments
/// "mm addr ptep pte pfn generation".
constexpr bool is_clear(rmap::Event event) {
    return event == rmap::Event::kPtepClearFlush || event == rmap::Event::kPteClear ||
           event == rmap::Event::kPteClearDefer;
}

inline std::vector<rmap::Event> clear_events() {
    return {rmap::Event::kPtepClearFlush, rmap::Event::kPteClear, rmap::Event::kPteClearDefer};
}

}  // namespace mmusim::platform
