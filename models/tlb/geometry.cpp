// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/geometry.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::models {

SetIndex::SetIndex(IndexFunction function, std::size_t sets) {
    if (sets == 0) sets = 1;
    if ((sets & (sets - 1)) == 0)
        mask_ = sets - 1;
    else
        divisor_ = sets;
    if (function == IndexFunction::kPlain) return;
    MMUSIM_CHECK(divisor_ == 0, "a folded index is for a power of two of sets");
    fold_ = 0;
    while (sets >> fold_ > 1) ++fold_;
}

}  // namespace mmusim::models
