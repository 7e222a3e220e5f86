// SPDX-License-Identifier: Apache-2.0
#include "models/walker/walk_cache.hpp"

namespace mmusim::models {

std::uint64_t WalkCache::invalidate(const TlbScope& scope) {
    using Tables = TlbScope::Tables;
    if (scope.tables == Tables::kKept) return 0;
    const bool everywhere = !scope.range || scope.tables == Tables::kAll;
    const std::uint64_t first = everywhere ? 0 : prefix(scope.range->start.value);
    const std::uint64_t last = everywhere ? ~std::uint64_t{0} : prefix(scope.range->end.value - 1);
    const auto matches = [&](const Key& key, const WalkedTable& table) {
        return key.tag.vm() == scope.vm && (!scope.space || key.tag.space() == *scope.space) &&
               key.prefix >= first && key.prefix <= last && table.oldest_read <= scope.read_until;
    };
    return first == last ? entries_.erase_in_set(first, matches) : entries_.erase_if(matches);
}

}  // namespace mmusim::models
