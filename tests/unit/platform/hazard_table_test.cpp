// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazard_table.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace mmusim::platform {
namespace {

TEST_CASE("hazard table: all hazards of the reference are there in order", "[unit][oracle]") {
    std::vector<std::string> ids;
    for (int number = 1; number <= 16; ++number) ids.push_back("HZ" + std::to_string(number));
    std::vector<std::string> listed;
    for (const HazardRow& row : hazard_table()) listed.emplace_back(row.id);
    CHECK(listed == ids);
}

TEST_CASE("hazard table: what cannot happen says what it needs and the rest is watched",
          "[unit][oracle]") {
    std::vector<std::string> watched;
    for (const HazardRow& row : hazard_table()) {
        CAPTURE(row.id);
        CHECK(!row.title.empty());
        CHECK(row.title.size() <= 31);  // a column of the report
        CHECK(row.summary.back() == '.');
        CHECK(!row.sign.empty());
        CHECK(row.needs.empty() == (row.make != nullptr));
        if (!row.make) continue;
        watched.emplace_back(row.id);
        auto events = row.make(Vocabulary::kSimulation)->events();
        CHECK(!events.empty());
        std::sort(events.begin(), events.end());
        CHECK(std::adjacent_find(events.begin(), events.end()) == events.end());
    }
    CHECK(watched ==
          std::vector<std::string>{"HZ2", "HZ5", "HZ7", "HZ9", "HZ12", "HZ13", "HZ14", "HZ16"});
}

TEST_CASE("hazard table: kernels in words", "[unit][oracle]") {
    HazardRow row{};
    CHECK(kernels_text(row) == "in v5.0");
    row.gone = "v5.13";
    CHECK(kernels_text(row) == "in v5.0, gone in v5.13");
    row.since = "v4.14";
    CHECK(kernels_text(row) == "since v4.14, gone in v5.13");
}

}  // namespace
}  // namespace mmusim::platform
