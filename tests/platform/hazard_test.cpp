// SPDX-License-Identifier: Apache-2.0
// Hazards of the kernel in whole runs: shipped scenarios in which one happens, and the same nearly.
#include <catch2/catch.hpp>

#include <sstream>
#include <string>
#include <vector>

#include "platform/run/run.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/config_fixture.hpp"

namespace mmusim::test {

namespace {

/// What a run says of one hazard.
struct Seen {
    std::string failure;
    std::uint64_t violations = 0;
    std::uint64_t count = 0;
    std::uint64_t window_ps = 0;
    std::uint64_t wrong_uses = 0;
    std::uint64_t first_wrong_window_ps = 0;
    std::uint64_t rounds = 0;  ///< shootdowns that asked another CPU
};

Seen run_shipped(const std::string& hazard, const std::string& platform,
                 const std::string& scenario, const std::vector<std::string>& settings = {}) {
    const std::string text = run_in_child([&] {
        const auto config = ConfigFixture::load_files(shipped("platforms/" + platform),
                                                      shipped("scenarios/" + scenario), settings);
        const auto result =
            platform::run_platform(config.platform, config.scenario, platform::RunOptions{});
        platform::HazardVerdict found;
        for (const auto& verdict : result.oracle.hazards)
            if (verdict.id == hazard) found = verdict;
        std::ostringstream out;
        out << result.oracle.violations_found << ' ' << found.count << ' ' << found.total_window.ps
            << ' ' << found.wrong_uses << ' ' << found.first_wrong_use.window.ps << ' '
            << result.counters.at("flush_rounds");
        return out.str();
    });
    Seen seen;
    std::istringstream in(text);
    if (!(in >> seen.violations >> seen.count >> seen.window_ps >> seen.wrong_uses >>
          seen.first_wrong_window_ps >> seen.rounds))
        seen.failure = text;
    return seen;
}

}  // namespace

TEST_CASE(
    "hazard HZ7: a device uses freed pages behind an unaligned range and that is no violation",
    "[platform]") {
    const auto munmap = [](const std::string& pages) {
        return run_shipped("HZ7", "skylake-sp-2s", "svm-munmap",
                           {"region.buffer.pages=" + pages, "operation.munmap.rounds=4"});
    };
    const Seen unaligned = munmap("1025");
    CHECK(unaligned.failure == "");
    CHECK(unaligned.violations == 0);
    CHECK(unaligned.count > 0);
    CHECK(unaligned.wrong_uses > 0);
    CHECK(unaligned.first_wrong_window_ps > 0);
    const Seen aligned = munmap("512");
    CHECK(aligned.failure == "");
    CHECK(aligned.count == 0);
    CHECK(aligned.wrong_uses == 0);
}

TEST_CASE("hazard HZ7: what an injected fault does to the same range stays a violation",
          "[platform]") {
    const Seen seen = run_shipped(
        "HZ7", "skylake-sp-2s", "svm-munmap",
        {"region.buffer.pages=1025", "operation.munmap.rounds=4", "inject.fault=atc-before-iotlb"});
    CHECK(seen.failure == "");
    CHECK(seen.violations > 0);
}

TEST_CASE("hazard HZ5: KVM accepts what another client of the process refuses", "[platform]") {
    const Seen seen =
        run_shipped("HZ5", "laptop", "everything",
                    {"operation.reclaim.type=oom_reap", "process.main.notifier=sleeper"});
    CHECK(seen.failure == "");
    CHECK(seen.violations == 0);
    CHECK(seen.count > 0);
    const Seen alone = run_shipped("HZ5", "laptop", "oom-reap");
    CHECK(alone.failure == "");
    CHECK(alone.count == 0);
}

TEST_CASE("hazard HZ14: every shootdown by a CPU that runs the mm has one", "[platform]") {
    const Seen seen = run_shipped("HZ14", "skylake-sp-2s", "migrate");
    CHECK(seen.failure == "");
    CHECK(seen.violations == 0);
    CHECK(seen.count > 0);
    CHECK(seen.count == seen.rounds);
    CHECK(seen.window_ps > 0);
    // The reclaimer does not run the mm, and who frees page tables calls the others only.
    for (const char* scenario : {"reclaim-anon", "munmap"}) {
        const Seen none = run_shipped("HZ14", "laptop", scenario);
        CHECK(none.failure == "");
        CHECK(none.rounds > 0);
        CHECK(none.count == 0);
    }
}

TEST_CASE("hazard HZ16: a device is told of an empty range and that is no violation",
          "[platform]") {
    const Seen seen =
        run_shipped("HZ16", "laptop", "everything",
                    {"operation.reclaim.type=clear_refs", "operation.reclaim.rounds=3"});
    CHECK(seen.failure == "");
    CHECK(seen.violations == 0);
    CHECK(seen.count == 3);
}

}  // namespace mmusim::test
