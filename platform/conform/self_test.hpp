// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "platform/config/platform_config.hpp"
#include "platform/conform/capture.hpp"

namespace mmusim::platform {

/// What became of corrupted copies of one capture.
struct SelfTest {
    std::string scenario;
    std::string unusable;  ///< why it was not corrupted; empty: it was
    std::size_t made = 0;
    std::vector<std::string> survivors;  ///< corruptions that nobody noticed, for people

    std::size_t noticed() const { return made - survivors.size(); }
};

/// How much of the self-test has to be noticed.
inline constexpr double kNoticedShare = 0.99;

/// Corrupts a capture `count` times (plan_corruptions()) and replays each copy, `processes` at the
/// same time. A capture that does not conform as it is cannot be used. A replay that breaks down
/// has noticed nothing. `watch` is called with the number of finished replays.
SelfTest self_test(const Capture& capture, const PlatformConfig& platform, std::size_t count,
                   std::uint64_t seed, unsigned processes,
                   const std::function<void(std::size_t)>& watch);

}  // namespace mmusim::platform
