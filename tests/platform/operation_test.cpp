// SPDX-License-Identifier: Apache-2.0
// Every operation that a scenario can name, on a whole machine.
#include <catch2/catch.hpp>

#include <sstream>
#include <string>
#include <vector>

#include "platform/run/run.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/config_fixture.hpp"

namespace mmusim::test {

namespace {

/// "NAME xCOUNT" of each kind of operation that a run had, and what the oracle found.
std::string run_shipped(const std::string& scenario, const std::vector<std::string>& settings) {
    return run_in_child([&] {
        const auto config = ConfigFixture::load_files(shipped("platforms/laptop"),
                                                      shipped("scenarios/" + scenario), settings);
        const auto result =
            platform::run_platform(config.platform, config.scenario, platform::RunOptions{});
        std::ostringstream out;
        for (const auto& operation : result.operations)
            if (operation.kind != rmap::OperationKind::kPageFault)
                out << rmap::name(operation.kind) << " x" << operation.latency_ps.size() << ' ';
        out << "violations " << result.oracle.violations_found;
        for (const auto& hazard : result.oracle.hazards) out << ' ' << hazard.id;
        return out.str();
    });
}

}  // namespace

TEST_CASE("operations: each type of a scenario is what runs", "[platform]") {
    const auto on_heap = [](const std::string& type,
                            const std::string& more = "region.heap.pages=64") {
        return run_shipped("madvise-dontneed",
                           {"operation.madvise.type=" + type, "operation.madvise.rounds=3", more});
    };
    CHECK(on_heap("madvise_dontneed") == "madvise x3 violations 0 HZ14");
    CHECK(on_heap("madvise_free") == "madvise x3 violations 0 HZ14");
    CHECK(on_heap("mprotect", "process.main.write_percent=0") == "mprotect x3 violations 0 HZ14");
    CHECK(on_heap("mlock") == "mlock x3 violations 0");
    CHECK(on_heap("munlock") == "munlock x3 violations 0");
    CHECK(on_heap("fork") == "fork x3 exit x3 violations 0 HZ14");
    CHECK(on_heap("clear_refs") == "clear_refs x3 violations 0 HZ14 HZ16");
    CHECK(on_heap("punch_hole", "region.heap.kind=shmem") == "fallocate x3 violations 0 HZ14");
    CHECK(on_heap("fsync", "region.heap.kind=file") == "fsync x3 violations 0 HZ14");
}

TEST_CASE("operations: shipped scenarios of system calls are safe", "[platform]") {
    for (const char* scenario : {"madvise-dontneed", "mprotect", "fork", "fsync"}) {
        CAPTURE(scenario);
        CHECK_THAT(run_shipped(scenario, {}), Catch::Contains("violations 0"));
    }
}

}  // namespace mmusim::test
