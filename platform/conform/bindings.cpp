// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/bindings.hpp"

namespace mmusim::platform {

namespace {

std::uint64_t look_up(const std::unordered_map<std::uint64_t, std::uint64_t>& map,
                      std::uint64_t key) {
    const auto found = map.find(key);
    return found == map.end() ? 0 : found->second;
}

/// Objects are numbered by their addresses there.
bool may_be(Identity what, std::uint64_t theirs) {
    constexpr std::uint64_t kAlignment = 8;
    const bool pointer =
        what == Identity::kMm || what == Identity::kVma || what == Identity::kMapping;
    return !pointer || theirs % kAlignment == 0;
}

}  // namespace

std::string_view name(Identity what) {
    switch (what) {
        case Identity::kMm:
            return "mm";
        case Identity::kVma:
            return "VMA";
        case Identity::kFrame:
            return "page";
        case Identity::kTable:
            return "page-table page";
        case Identity::kMapping:
            return "address_space";
        case Identity::kSwapSlot:
            return "swap slot";
    }
    return "";
}

void Bindings::forget_retired(Pairs& known, std::uint64_t ours) {
    if (known.retired.erase(ours) == 0) return;
    known.ours.erase(known.theirs.at(ours));
    known.theirs.erase(ours);
}

bool Bindings::bind(Identity what, std::uint64_t theirs, std::uint64_t ours) {
    if (!may_be(what, theirs)) return false;
    Pairs& known = pairs(what);
    const auto pair = known.ours.find(theirs);
    if (pair != known.ours.end() && pair->second == ours) return true;
    if (pair != known.ours.end()) forget_retired(known, pair->second);
    forget_retired(known, ours);
    if (known.ours.count(theirs) || known.theirs.count(ours)) return false;
    known.ours[theirs] = ours;
    known.theirs[ours] = theirs;
    return true;
}

void Bindings::retire_ours(Identity what, std::uint64_t ours) {
    Pairs& known = pairs(what);
    if (known.theirs.count(ours)) known.retired.insert(ours);
}

std::uint64_t Bindings::ours(Identity what, std::uint64_t theirs) const {
    return look_up(pairs(what).ours, theirs);
}

std::uint64_t Bindings::theirs(Identity what, std::uint64_t ours) const {
    return look_up(pairs(what).theirs, ours);
}

}  // namespace mmusim::platform
