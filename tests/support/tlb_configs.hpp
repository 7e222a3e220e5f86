// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "models/tlb/tlb_config.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::test {

inline models::TlbConfig tlb_of(std::vector<models::PageArrayConfig> arrays,
                                rmap::Duration lookup = {}, rmap::Duration fill = {}) {
    models::TlbConfig tlb;
    tlb.arrays = std::move(arrays);
    tlb.lookup = lookup;
    tlb.fill = fill;
    return tlb;
}

/// A level with an array for 4 KiB pages and one for 2 MiB pages.
inline models::TlbConfig split_tlb(models::ArrayGeometry small, models::ArrayGeometry large,
                                   rmap::Duration lookup = {}, rmap::Duration fill = {}) {
    return tlb_of({{"small", {0}, small}, {"large", {rmap::kLargeOrder}, large}}, lookup, fill);
}

}  // namespace mmusim::test
