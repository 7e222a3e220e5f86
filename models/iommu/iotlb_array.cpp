// SPDX-License-Identifier: Apache-2.0
#include "models/iommu/iotlb_array.hpp"

namespace mmusim::models {

using rmap::Access;
using rmap::Instant;
using rmap::PageNumber;
using rmap::Pasid;
using rmap::VirtRange;

const Translation* IotlbArray::lookup(PageNumber page, Pasid pasid, Access access) {
    ++stats_.lookups;
    const Translation* found = small_.find(page.value, {page.value, pasid});
    if (!found)
        found =
            large_.find(page.value >> rmap::kLargeOrder, {page.value >> rmap::kLargeOrder, pasid});
    const bool usable = found && (access == Access::kRead || (found->writable && found->dirty));
    ++(usable ? stats_.hits : stats_.misses);
    return usable ? found : nullptr;
}

void IotlbArray::insert(PageNumber page, Pasid pasid, const Translation& translation) {
    if (translation.large)
        large_.insert(page.value >> rmap::kLargeOrder, {page.value >> rmap::kLargeOrder, pasid},
                      translation);
    else
        small_.insert(page.value, {page.value, pasid}, translation);
}

std::uint64_t IotlbArray::invalidate(Pasid pasid, const VirtRange& range, Instant at) {
    constexpr std::uint64_t kSearchAll = 64;  ///< pages; beyond it every entry is looked at
    const std::uint64_t first = rmap::page_of(range.start).value;
    const std::uint64_t last = rmap::page_of({range.end.value - 1}).value;
    const auto drop = [&](Array& array, std::uint64_t from, std::uint64_t to) {
        const auto matches = [&](const Key& key, const Translation& entry) {
            return key.pasid == pasid && key.page >= from && key.page <= to &&
                   entry.oldest_read <= at;
        };
        if (to - from >= kSearchAll) return array.erase_if(matches);
        std::uint64_t erased = 0;
        for (std::uint64_t page = from; page <= to; ++page)
            erased += array.erase_in_set(page, matches);
        return erased;
    };
    const std::uint64_t erased =
        drop(small_, first, last) +
        drop(large_, first >> rmap::kLargeOrder, last >> rmap::kLargeOrder);
    stats_.invalidated += erased;
    return erased;
}

}  // namespace mmusim::models
