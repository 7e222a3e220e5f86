// SPDX-License-Identifier: Apache-2.0
// Each injected fault on a shipped scenario in which it matters, and the rule that names it.
#include <catch2/catch.hpp>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "platform/run/run.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/config_fixture.hpp"

namespace mmusim::test {

namespace {

struct Outcome {
    std::string failure;
    std::set<std::string> broken;  ///< rules with violations, and kinds of wrong accesses
};

Outcome run_shipped(const std::string& scenario, const std::string& fault,
                    std::vector<std::string> settings = {}) {
    const std::string text = run_in_child([&] {
        settings.push_back("inject.fault=" + fault);
        const auto config = ConfigFixture::load_files(shipped("platforms/skylake-sp-2s"),
                                                      shipped("scenarios/" + scenario), settings);
        const auto result =
            platform::run_platform(config.platform, config.scenario, platform::RunOptions{});
        std::string found = "done";
        for (const auto& violation : result.oracle.violations) found += ' ' + violation.rule;
        return found;
    });
    Outcome outcome;
    if (text.rfind("done", 0) != 0) outcome.failure = text;
    std::istringstream words(text);
    for (std::string word; words >> word;)
        if (word != "done") outcome.broken.insert(word);
    return outcome;
}

struct Row {
    const char* fault;
    const char* scenario;
    const char* rule;
};

/// One row per fault; the rule is the one that the fault is made for, others may break as well.
constexpr Row kRows[] = {
    {"skip-batch-flush", "reclaim-anon", "T5"},
    {"free-before-flush", "reclaim-file", "T6"},
    {"drop-ipi-target", "reclaim-anon", "T2"},
    {"shrink-range", "migrate", "stale-translation"},
    {"ack-before-handler", "migrate", "T2"},
    {"clear-outside-section", "guest-reclaim", "N1"},
    {"end-without-start", "guest-reclaim", "N2"},
    {"end-after-refusal", "oom-reap", "N3"},
    {"start-under-lock", "guest-reclaim", "N4"},
    {"unlock-inside-section", "munmap", "N5"},
    {"install-in-section", "guest-migrate", "N6"},
    {"skip-retry-check", "guest-migrate", "N7"},
    {"count-before-sequence", "guest-reclaim", "N8"},
    {"zap-before-count", "guest-reclaim", "N9"},
    {"skip-kick", "guest-reclaim", "N9"},
    {"free-before-section", "munmap", "N10"},
    {"skip-invalidate-range", "everything", "N11"},
    {"only-end", "guest-migrate", "N14"},
    {"invalidate-before-clear", "everything", "N15"},
    {"skip-iommu-wait", "svm-munmap", "N17"},
    {"complete-before-dma", "svm-munmap", "N17"},
    {"skip-secondary-aging", "guest-reclaim", "N19"},
    {"second-section", "guest-reclaim", "N20"},
    {"atc-before-iotlb", "svm-munmap", "N28"},
    {"keep-grant", "madvise-dontneed", "stale-translation"},
};

}  // namespace

TEST_CASE("injected faults: each one is caught by the rule that it breaks", "[platform]") {
    std::set<std::string> tried;
    for (const Row& row : kRows) {
        CAPTURE(row.fault, row.scenario);
        const Outcome outcome = run_shipped(row.scenario, row.fault);
        CHECK(outcome.failure == "");
        CHECK(outcome.broken.count(row.rule) == 1);
        tried.insert(row.fault);
    }
    for (const auto& fault : rmap::kInjectedFaults) {
        CAPTURE(fault.name);
        const bool is_none = fault.fault == rmap::InjectedFault::kNone;
        CHECK(tried.count(std::string(fault.name)) == (is_none ? 0 : 1));
    }
}

// A core keeps one translation per set of its first TLB: the use of another page of the set takes
// the place of one that was withdrawn. With as many pages as sets none does.
TEST_CASE("injected faults: a core that keeps what was withdrawn is caught when it is used again",
          "[platform]") {
    const auto migrate = [](const std::string& fault) {
        return run_shipped("migrate", fault, {"region.heap.pages=16"});
    };
    CHECK(migrate("none").failure == "");
    CHECK(migrate("none").broken == std::set<std::string>{});
    CHECK(migrate("keep-grant").failure == "");
    CHECK(migrate("keep-grant").broken.count("stale-translation") == 1);
}

TEST_CASE("injected faults: every shipped scenario is safe without one", "[platform]") {
    for (const auto& path : shipped_files("scenarios")) {
        const std::string scenario = std::filesystem::path(path).stem();
        CAPTURE(scenario);
        const Outcome outcome = run_shipped(scenario, "none");
        CHECK(outcome.failure == "");
        CHECK(outcome.broken == std::set<std::string>{});
    }
}

}  // namespace mmusim::test
