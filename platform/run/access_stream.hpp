// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "platform/config/scenario_config.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// The addresses that a thread accesses, one after the other. Every thread has a generator of its
/// own, so that the addresses do not depend on what others do.
class AccessStream {
public:
    struct Access {
        rmap::VirtAddr address;
        rmap::Access kind;
    };

    /// `ranges` are whole pages; none means that the thread accesses nothing.
    AccessStream(std::vector<rmap::VirtRange> ranges, AccessPattern pattern, unsigned write_percent,
                 std::uint64_t seed)
        : ranges_(std::move(ranges)), pattern_(pattern), write_percent_(write_percent) {
        std::seed_seq mixed{seed, seed >> 32};
        random_.seed(mixed);
        for (const auto& range : ranges_) pages_ += range.pages();
    }

    /// From now on also this range, instead of the one that was followed before.
    void follow(rmap::VirtRange range) {
        if (follows_) {
            pages_ -= ranges_.back().pages();
            ranges_.pop_back();
        }
        ranges_.push_back(range);
        pages_ += range.pages();
        follows_ = true;
    }

    bool empty() const { return pages_ == 0 || pattern_ == AccessPattern::kIdle; }
    std::uint64_t pages() const { return pages_; }

    Access next() {
        const std::uint64_t random = random_();
        const auto page =
            pattern_ == AccessPattern::kSequential ? position_++ % pages_ : (random >> 16) % pages_;
        return {page_at(page),
                random % 100 < write_percent_ ? rmap::Access::kWrite : rmap::Access::kRead};
    }

    rmap::VirtAddr page_at(std::uint64_t number) const {
        for (const auto& range : ranges_) {
            if (number < range.pages()) return range.start + number * rmap::kPageSize;
            number -= range.pages();
        }
        return ranges_.front().start;
    }

private:
    std::vector<rmap::VirtRange> ranges_;
    AccessPattern pattern_;
    unsigned write_percent_;
    std::uint64_t pages_ = 0;
    bool follows_ = false;  ///< the last range is a followed one
    std::uint64_t position_ = 0;
    std::mt19937_64 random_;
};

}  // namespace mmusim::platform
