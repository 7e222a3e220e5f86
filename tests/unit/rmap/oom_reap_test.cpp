// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/oom_reap.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
namespace notifiers = mmusim::notifiers;
using mmusim::test::KernelBench;

namespace {

constexpr auto kOrder = {Event::kMmapSemLock,  Event::kTlbGatherMmu,    Event::kMnStart,
                         Event::kMnStartRet,   Event::kUnmapPageRange,  Event::kMnEnd,
                         Event::kTlbFinishMmu, Event::kFlushTlbMmRange, Event::kMnInvalidateRange,
                         Event::kPageFree,     Event::kTlbFinishMmuRet, Event::kMmapSemUnlock};

/// Two private VMAs of one page and of two.
Mm& victim(KernelBench& bench) {
    Mm& mm = bench.anon_mm(1, {0, 1});
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2, 8));
    bench.kernel.populate(bench.cpu(), mm, bench.range(2, 8), KernelBench::kColdDirty);
    bench.trace().clear();
    return mm;
}

/// A client that refuses a section in which it has recorded pages: the first VMA.
notifiers::RecordingClient& sleeper(KernelBench& bench, Mm& mm,
                                    std::optional<notifiers::RecordingClient>& client) {
    notifiers::RecordingClient::Config config;
    config.needs_sleep = true;
    client.emplace(config, bench.memory);
    bench.chain.register_client(mm.context.id, *client);
    client->record_access(bench.cpu(), mm.context.id, bench.page(0),
                          client->sequence(bench.cpu(), mm.context.id));
    return *client;
}

}  // namespace

TEST_CASE("oom reaper: every private VMA is a gather and a section of its own", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = victim(bench);
    bench.watch(mm);
    const OomReapResult result = bench.kernel.oom_reap(bench.cpu(), mm);
    CHECK(result.reaped);
    CHECK(result.pages == 3);
    CHECK(bench.order(kOrder) ==
          "mmap_sem_lock "
          "tlb_gather_mmu mn_range_start mn_range_start_ret unmap_page_range mn_range_end "
          "tlb_finish_mmu flush_tlb_mm_range mn_range mm_page_free tlb_finish_mmu_ret "
          "tlb_gather_mmu mn_range_start mn_range_start_ret unmap_page_range mn_range_end "
          "tlb_finish_mmu flush_tlb_mm_range mn_range mm_page_free mm_page_free "
          "tlb_finish_mmu_ret mmap_sem_unlock");
    CHECK(bench.values(Event::kMnStart, "blockable") == std::vector<std::uint64_t>{0, 0});
    CHECK(bench.values(Event::kMnStart, "start") ==
          std::vector<std::uint64_t>{bench.page(0).value, bench.page(8).value});
    CHECK(bench.values(Event::kMnEnd, "only_end") == std::vector<std::uint64_t>{0, 0});
    CHECK(bench.values(Event::kMmapSemLock, "write") == std::vector<std::uint64_t>{0});
    // The VMAs and their tables stay.
    CHECK(mm.mmap.size() == 2);
    CHECK(bench.trace().first(Event::kFlushTlbMmRange).arguments[4] == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_size == 3);
    CHECK(bench.client.active_sections(mm.context.id) == 0);
}

TEST_CASE("oom reaper: shared mappings are left alone", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 8);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(2), file);
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(2, 4), file, 4, Kernel::Sharing::kPrivate);
    bench.kernel.populate(bench.cpu(), mm, bench.range(2), KernelBench::kColdRead);
    bench.kernel.populate(bench.cpu(), mm, bench.range(2, 4), KernelBench::kColdRead);
    bench.run(0, mm);
    CHECK(bench.kernel.oom_reap(bench.cpu(), mm).pages == 2);
    CHECK(bench.pte(mm, 0).present());
    CHECK(bench.pte(mm, 1).present());
    CHECK(bench.pte(mm, 4).none());
    CHECK(bench.pte(mm, 5).none());
}

TEST_CASE("oom reaper: a VMA that a client refuses stays and has no end", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = victim(bench);
    bench.watch(mm);
    std::optional<notifiers::RecordingClient> client;
    const auto& busy = sleeper(bench, mm, client);
    bench.trace().clear();
    const OomReapResult result = bench.kernel.oom_reap(bench.cpu(), mm);
    CHECK_FALSE(result.reaped);
    CHECK(result.pages == 2);
    CHECK(bench.order(kOrder) ==
          "mmap_sem_lock "
          "tlb_gather_mmu mn_range_start mn_range_start_ret tlb_finish_mmu tlb_finish_mmu_ret "
          "tlb_gather_mmu mn_range_start mn_range_start_ret unmap_page_range mn_range_end "
          "tlb_finish_mmu flush_tlb_mm_range mn_range mm_page_free mm_page_free "
          "tlb_finish_mmu_ret mmap_sem_unlock");
    CHECK(bench.values(Event::kMnStartRet, "ret") == std::vector<std::uint64_t>{1, 0});
    CHECK(bench.pte(mm, 0).present());
    CHECK(bench.machine.account(0).finished().back().outcome == Outcome::kDone);
    CHECK(bench.machine.account(0).finished().back().pages == 2);
    CHECK(busy.refused_starts() == 1);
    CHECK(busy.active_sections(mm.context.id) == 0);
    // Hazard HZ5: the client that agreed never learns that nothing came of it.
    CHECK(bench.client.active_sections(mm.context.id) == 1);
}

TEST_CASE("end-after-refusal: the refused section is ended all the same", "[unit][rmap]") {
    KernelBench::Config config;
    config.fault = InjectedFault::kEndAfterRefusal;
    KernelBench bench(config);
    Mm& mm = victim(bench);
    bench.watch(mm);
    std::optional<notifiers::RecordingClient> client;
    sleeper(bench, mm, client);
    bench.trace().clear();
    const OomReapResult result = bench.kernel.oom_reap(bench.cpu(), mm);
    CHECK_FALSE(result.reaped);
    CHECK(result.pages == 2);
    CHECK(bench.order({Event::kMnStartRet, Event::kUnmapPageRange, Event::kMnEnd}) ==
          "mn_range_start_ret mn_range_end mn_range_start_ret unmap_page_range mn_range_end");
    CHECK(bench.values(Event::kMnStartRet, "ret") == std::vector<std::uint64_t>{1, 0});
    CHECK(bench.pte(mm, 0).present());
}

TEST_CASE("oom reaper: it does not wait for mmap_sem", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = victim(bench);
    mmap_sem_lock_write(bench.cpu(1), mm);
    const OomReapResult result = bench.kernel.oom_reap(bench.cpu(), mm);
    CHECK_FALSE(result.reaped);
    CHECK(result.pages == 0);
    CHECK(bench.order(kOrder) == "");
    CHECK(bench.machine.account(0).finished().back().outcome == Outcome::kAbandoned);
    mmap_sem_unlock_write(bench.cpu(1), mm);
    CHECK(bench.kernel.oom_reap(bench.cpu(), mm).reaped);
    CHECK(bench.machine.account(0).finished().back().outcome == Outcome::kDone);
    // A reader does not keep it out.
    mmap_sem_lock_read(bench.cpu(1), mm);
    CHECK(bench.kernel.oom_reap(bench.cpu(), mm).reaped);
    mmap_sem_unlock_read(bench.cpu(1), mm);
}

TEST_CASE("oom reaper: its operation covers the attempt and its parts add up", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = victim(bench);
    const Instant begin = bench.cpu().now();
    bench.kernel.oom_reap(bench.cpu(), mm);
    const OperationResult result = bench.machine.account(0).finished().back();
    CHECK(result.kind == OperationKind::kOomReap);
    CHECK(name(result.kind) == "oom_reap");
    CHECK(result.pages == 3);
    CHECK(result.begin == begin);
    CHECK(result.end == bench.cpu().now());
    CHECK(result.parts.sum() == result.end - result.begin);
}

TEST_CASE("oom reaper: a thread that still runs faults in empty memory", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = victim(bench);
    bench.watch(mm);
    bool touched = false;
    bench.trace().at_next(Event::kMnEnd, 0, [&] {
        touched = bench.kernel.touch(bench.cpu(1), mm, bench.page(0), Access::kRead);
    });
    CHECK(bench.kernel.oom_reap(bench.cpu(), mm).pages == 3);
    CHECK(touched);
    CHECK(bench.pte(mm, 0).frame() == bench.kernel.state().zero_page);
}
