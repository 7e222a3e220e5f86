// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/clear_refs.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

TEST_CASE("clear_refs: the whole mm is walked and flushed whatever was found", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0, 1}, {});
    bench.watch(mm);
    Page& page = bench.mapped_page(mm, 0);
    page.set(bench.cpu(), PageFlag::kReferenced);
    bench.kernel.clear_refs(bench.cpu(), mm, ClearRefs::kAll);
    // n_kvm_clearrefs_n4_run: no section, and at the end the range ~0..~0 (hazard HZ16).
    CHECK(bench.order({Event::kMmapSemLock, Event::kMnStart, Event::kMnEnd, Event::kTlbGatherMmu,
                       Event::kClearRefsPteRange, Event::kPtepTestAndClearYoung,
                       Event::kTlbFinishMmu, Event::kFlushTlbMmRange, Event::kMnInvalidateRange,
                       Event::kTlbFinishMmuRet, Event::kMmapSemUnlock}) ==
          "mmap_sem_lock tlb_gather_mmu clear_refs_pte_range ptep_test_and_clear_young "
          "ptep_test_and_clear_young tlb_finish_mmu flush_tlb_mm_range mn_range "
          "tlb_finish_mmu_ret mmap_sem_unlock");
    const auto gather = bench.trace().first(Event::kTlbGatherMmu);
    CHECK(bench.trace().argument(gather, "start") == 0);
    CHECK(bench.trace().argument(gather, "end") == kAllAddresses.end.value);
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(bench.trace().argument(flushed, "start") == 0);
    CHECK(bench.trace().argument(flushed, "end") == kAllAddresses.end.value);
    CHECK(bench.trace().argument(flushed, "stride") == 12);
    CHECK(bench.trace().argument(flushed, "freed_tables") == 0);
    const auto told = bench.trace().first(Event::kMnInvalidateRange);
    CHECK(bench.trace().argument(told, "start") == ~0ull);
    CHECK(bench.trace().argument(told, "end") == ~0ull);
    const auto range = bench.trace().first(Event::kClearRefsPteRange);
    CHECK(bench.trace().argument(range, "addr") == bench.page(0).value);
    CHECK(bench.trace().argument(range, "end") == bench.page(2).value);

    CHECK_FALSE(bench.pte(mm, 0).young());
    CHECK(bench.pte(mm, 0).dirty());
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kReferenced));
}

TEST_CASE("clear_refs: types 2 and 3 take private memory or files", "[unit][rmap]") {
    for (const ClearRefs type : {ClearRefs::kAnon, ClearRefs::kMapped}) {
        KernelBench bench;
        auto& file = bench.kernel.create_file("file", 1);
        Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
        bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(1));
        bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1, 1), file);
        bench.kernel.populate(bench.cpu(), mm, bench.range(2));
        bench.kernel.clear_refs(bench.cpu(), mm, type);
        CHECK(bench.pte(mm, 0).young() == (type != ClearRefs::kAnon));
        CHECK(bench.pte(mm, 1).young() == (type != ClearRefs::kMapped));
    }
}

TEST_CASE("clear_refs: type 4 opens a section and changes nothing", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0}, {});
    bench.watch(mm);
    const Pte before = bench.pte(mm, 0);
    bench.kernel.clear_refs(bench.cpu(), mm, ClearRefs::kSoftDirty);
    CHECK(bench.order({Event::kTlbGatherMmu, Event::kMnStart, Event::kClearRefsPteRange,
                       Event::kPtepTestAndClearYoung, Event::kMnEnd, Event::kFlushTlbMmRange}) ==
          "tlb_gather_mmu mn_range_start clear_refs_pte_range mn_range_end flush_tlb_mm_range");
    const auto section = bench.trace().first(Event::kMnStart);
    CHECK(bench.trace().argument(section, "start") == 0);
    CHECK(bench.trace().argument(section, "end") == kAllAddresses.end.value);
    CHECK(bench.pte(mm, 0) == before);
}

TEST_CASE("clear_refs: type 5 forgets the high-water mark", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    bench.kernel.madvise(bench.cpu(), mm, bench.range(3), Madvise::kDontneed);
    REQUIRE(bench.kernel.status(bench.cpu(), mm).vm_hwm == 4);
    bench.trace().clear();
    bench.kernel.clear_refs(bench.cpu(), mm, ClearRefs::kMmHiwaterRss);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_hwm == 1);
    CHECK(bench.values(Event::kMmapSemLock, "write") == std::vector<std::uint64_t>{1});
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
}
