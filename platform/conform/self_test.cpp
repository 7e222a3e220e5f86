// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/self_test.hpp"

#include "platform/conform/conform.hpp"
#include "platform/conform/corruption.hpp"
#include "platform/conform/forked_pool.hpp"

namespace mmusim::platform {

namespace {

constexpr char kDiffers[] = "differs";
constexpr char kConforms[] = "conforms";

std::string verdict(const Capture& capture, const PlatformConfig& platform) {
    return conform(capture, platform).mismatch ? kDiffers : kConforms;
}

}  // namespace

SelfTest self_test(const Capture& capture, const PlatformConfig& platform, std::size_t count,
                   std::uint64_t seed, unsigned processes,
                   const std::function<void(std::size_t)>& watch) {
    SelfTest test;
    test.scenario = capture.scenario;
    const auto as_it_is = run_forked(
        1, 1, [&](std::size_t) { return verdict(capture, platform); }, [](std::size_t) {});
    if (as_it_is.front().output != kConforms) {
        const auto& error = as_it_is.front().error;
        test.unusable = error.empty() ? "differs without any corruption" : error;
        return test;
    }
    const auto corruptions = plan_corruptions(capture, count, seed);
    const auto results = run_forked(
        corruptions.size(), processes,
        [&](std::size_t n) { return verdict(corrupted(capture, corruptions[n]), platform); },
        watch);
    test.made = corruptions.size();
    for (std::size_t n = 0; n < corruptions.size(); ++n) {
        const auto& result = results[n];
        if (result.output == kDiffers) continue;
        test.survivors.push_back(corruptions[n].text(capture) +
                                 (result.output ? "" : ": " + result.error));
    }
    return test;
}

}  // namespace mmusim::platform
