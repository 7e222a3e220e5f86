// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "platform/config/run_options.hpp"

namespace mmusim::platform {

/// What counts when a reference touches two pages, or more.
enum class Straddle {
    kMmu,  ///< each page is a translation of its own, as in hardware; M is a store
    /// As valgrind's cachegrind counts its cache lines: a reference is looked up once and missed at
    /// most once; when one of its pages misses, the levels below are asked for all of them; M is a
    /// load.
    kCachegrind,
};

struct TranslateOptions {
    Straddle straddle = Straddle::kMmu;
    std::optional<unsigned> page_order;  ///< none: the smallest pages of the format
    std::uint64_t skip = 0;              ///< references at the beginning that are not translated
    std::uint64_t limit = ~std::uint64_t{0};  ///< how many are
    OracleMode oracle = OracleMode::kOn;
    std::uint64_t compare_walks = 64;  ///< with the oracle: each n-th use; 0: none
    Dmi dmi = Dmi::kOn;
    /// Looked at between many references; once true the trace ends there, with
    /// TranslateResult::stopped. Null: never.
    const std::atomic<bool>* stop = nullptr;
    /// Called between many references, with the count of those done.
    std::function<void(std::uint64_t done)> on_progress;
};

}  // namespace mmusim::platform
