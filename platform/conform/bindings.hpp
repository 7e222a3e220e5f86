// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace mmusim::platform {

/// Things that both sides number in their own way: a page is frame 0x180d there and 0x4021 here.
enum class Identity { kMm, kVma, kFrame, kTable, kMapping, kSwapSlot };
inline constexpr std::size_t kIdentities = 6;

/// The name for messages: "mm", "page-table page" ...
std::string_view name(Identity what);

/// Which of theirs is which of ours: one to one, for as long as the thing exists. The first time
/// that two meet they are bound; from then on each may only meet the other.
class Bindings {
public:
    /// False: one of them is bound to somebody else, or theirs cannot be the address of an object.
    bool bind(Identity what, std::uint64_t theirs, std::uint64_t ours);
    /// The thing is gone: events may still name it, until either number is used again.
    void retire_ours(Identity what, std::uint64_t ours);

    /// 0: not bound.
    std::uint64_t ours(Identity what, std::uint64_t theirs) const;
    std::uint64_t theirs(Identity what, std::uint64_t ours) const;

private:
    struct Pairs {
        std::unordered_map<std::uint64_t, std::uint64_t> ours;    ///< by theirs
        std::unordered_map<std::uint64_t, std::uint64_t> theirs;  ///< by ours
        std::unordered_set<std::uint64_t> retired;                ///< ours
    };
    static void forget_retired(Pairs& known, std::uint64_t ours);
    Pairs& pairs(Identity what) { return pairs_[static_cast<std::size_t>(what)]; }
    const Pairs& pairs(Identity what) const { return pairs_[static_cast<std::size_t>(what)]; }

    std::array<Pairs, kIdentities> pairs_;
};

}  // namespace mmusim::platform
