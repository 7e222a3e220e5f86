// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/geometry.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::models {

SetIndex::SetIndex(IndexFunction function, std::size_t sets) : sets_(sets ? sets : 1) {
    const bool power_of_two = (sets_ & (sets_ - 1)) == 0;
    mask_ = power_of_two ? sets_ - 1 : 0;
    if (function == IndexFunction::kPlain) return;
    MMUSIM_CHECK(power_of_two, "a folded index is for a power of two of sets");
    while (sets_ >> fold_ > 1) ++fold_;
}

}  // namespace mmusim::models
