// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <vector>

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// What try_to_unmap_one puts in the place of the entry that it has cleared, the old one included.
/// All have the arguments "mm addr ptep pte".
inline const std::vector<rmap::Event>& store_events() {
    using rmap::Event;
    static const std::vector<Event> kStores = {Event::kPteSetSwap, Event::kPteSetMigration,
                                               Event::kPteRestore, Event::kPteRestoreLazyfree};
    return kStores;
}

inline bool is_store(rmap::Event event) {
    const auto& stores = store_events();
    return std::find(stores.begin(), stores.end(), event) != stores.end();
}

}  // namespace mmusim::platform
