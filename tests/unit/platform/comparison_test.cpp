// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/comparison.hpp"

#include <catch2/catch.hpp>

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

using namespace mmusim;
using namespace mmusim::platform;
using rmap::Event;

namespace {

class Context final : public EventContext {
public:
    std::optional<std::uint64_t> page_mapping = 0;
    bool forbidden = false;

    std::uint64_t vma(rmap::MmId, std::uint64_t) override { return 0x99; }
    bool protection_fault(rmap::CpuId) override { return forbidden; }
    std::optional<std::uint64_t> mapping(std::uint64_t) override { return page_mapping; }
};

CaptureEvent capture_event(const std::string& name,
                           std::initializer_list<std::pair<std::string, std::string>> arguments) {
    CaptureEvent event;
    event.name = name;
    for (const auto& [key, text] : arguments) {
        std::optional<std::uint64_t> number;
        if (text.rfind("0x", 0) == 0) number = std::stoull(text, nullptr, 16);
        event.arguments.push_back({key, text, number});
    }
    return event;
}

struct Bench {
    Context context;
    Comparison comparison{context};

    bool same(const CaptureEvent& theirs, Event event, const rmap::EventArguments& ours) {
        return comparison.difference(theirs, event, ours, {}).empty();
    }
};

}  // namespace

TEST_CASE("comparison: our numbers are compared with the words of tracepoints", "[unit][conform]") {
    Bench bench;
    const auto moved = capture_event("mm_migrate_pages", {{"nr_succeeded", "0x4"},
                                                          {"nr_failed", "0x0"},
                                                          {"mode", "MIGRATE_SYNC"},
                                                          {"reason", "syscall_or_cpuset"}});
    CHECK(bench.same(moved, Event::kMmMigratePages, {4, 0, 2, 3}));
    CHECK_FALSE(bench.same(moved, Event::kMmMigratePages, {4, 0, 1, 3}));
    CHECK_FALSE(bench.same(moved, Event::kMmMigratePages, {4, 0, 2, 4}));
    const auto unknown = capture_event("mm_migrate_pages", {{"mode", "MIGRATE_SYNC?"}});
    CHECK_FALSE(bench.same(unknown, Event::kMmMigratePages, {4, 0, 2, 3}));
}

TEST_CASE("comparison: the error code of a fault says what our hardware found", "[unit][conform]") {
    Bench bench;
    const auto write_to_nothing = capture_event("page_fault_user", {{"error_code", "0x6"}});
    const auto forbidden_write = capture_event("page_fault_user", {{"error_code", "0x7"}});
    CHECK(bench.same(write_to_nothing, Event::kPageFault, {1, 0x1000, 1}));
    CHECK_FALSE(bench.same(forbidden_write, Event::kPageFault, {1, 0x1000, 1}));
    bench.context.forbidden = true;
    CHECK(bench.same(forbidden_write, Event::kPageFault, {1, 0x1000, 1}));
    CHECK_FALSE(bench.same(forbidden_write, Event::kPageFault, {1, 0x1000, 0}));
}

TEST_CASE(
    "comparison: a page whose slot nothing has named is in some part of the swap cache, not "
    "in a file",
    "[unit][conform]") {
    constexpr std::uint64_t kOurFile = 0x5000000;
    Bench bench;
    const auto removed = [](const char* mapping) {
        return capture_event("__remove_mapping", {{"pfn", "0x10"}, {"mapping", mapping}});
    };
    bench.context.page_mapping = kOurFile;
    CHECK(bench.same(removed("0xffff888000001230"), Event::kRemoveMapping, {0x20, kOurFile}));
    bench.context.page_mapping = std::nullopt;
    CHECK_FALSE(bench.same(removed("0xffff888000001230"), Event::kRemoveMapping, {0x20, kOurFile}));
    CHECK_FALSE(bench.same(removed("0x0"), Event::kRemoveMapping, {0x20, kOurFile}));
    CHECK(bench.same(removed("0xffff888000004400"), Event::kRemoveMapping, {0x20, kOurFile}));
    bench.context.page_mapping = 1;
    CHECK(bench.same(removed("0xffff888000004400"), Event::kRemoveMapping, {0x20, kOurFile}));
    bench.context.page_mapping = 2;
    CHECK_FALSE(bench.same(removed("0xffff888000004400"), Event::kRemoveMapping, {0x20, kOurFile}));
}

TEST_CASE("comparison: no object has an odd address", "[unit][conform]") {
    Bench bench;
    const auto pending = [](const char* mm) {
        return capture_event("flush_tlb_batched_pending", {{"mm", mm}, {"batched", "0x0"}});
    };
    CHECK_FALSE(bench.same(pending("0xffff888000001001"), Event::kFlushTlbBatchedPending, {3, 0}));
    CHECK(bench.same(pending("0xffff888000001000"), Event::kFlushTlbBatchedPending, {3, 0}));
    CHECK_FALSE(bench.same(pending("0xffff888000001040"), Event::kFlushTlbBatchedPending, {3, 0}));
}
