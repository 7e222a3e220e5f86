// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mprotect.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/migrate.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

constexpr std::uint64_t kReadWrite = VmFlags::kRead | VmFlags::kWrite;

}  // namespace

TEST_CASE("mprotect: entries change in a section and are flushed behind it", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0, 1}, {});
    bench.watch(mm);
    const RangeResult result =
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(4), VmFlags::kRead);
    CHECK(result.error == Errno::kNone);
    CHECK(result.pages == 4);
    CHECK(bench.order({Event::kMmapSemLock, Event::kMnStart, Event::kPtlLock,
                       Event::kFlushTlbBatchedPending, Event::kPteClear, Event::kPteSet,
                       Event::kPtlUnlock, Event::kMnEnd, Event::kFlushTlbMmRange,
                       Event::kFlushTlbMmRangeRet, Event::kMmapSemUnlock}) ==
          "mmap_sem_lock mn_range_start ptl_lock flush_tlb_batched_pending pte_clear pte_set "
          "pte_clear pte_set pte_clear pte_set pte_clear pte_set ptl_unlock mn_range_end "
          "flush_tlb_mm_range flush_tlb_mm_range_ret mmap_sem_unlock");
    const auto flushed = bench.trace().first(Event::kFlushTlbMmRange);
    CHECK(bench.trace().argument(flushed, "start") == bench.page(0).value);
    CHECK(bench.trace().argument(flushed, "end") == bench.page(4).value);
    CHECK(bench.trace().argument(flushed, "freed_tables") == 0);
    CHECK(bench.machine.memory()[mm.tlb_flush_pending].value == 0);

    const Pte pte = bench.pte(mm, 0);
    CHECK(pte.valid());
    CHECK_FALSE(pte.writable());
    CHECK(pte.young());
    CHECK(pte.dirty());
    CHECK_FALSE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
}

TEST_CASE("mprotect: somebody else's gather sees that a flush is pending", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    bench.watch(mm);
    std::uint64_t pending = 0;
    bench.trace().at_next(Event::kFlushTlbMmRange, 0,
                          [&] { pending = bench.machine.memory()[mm.tlb_flush_pending].value; });
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(1), VmFlags::kRead);
    CHECK(pending == 1);
}

TEST_CASE("mprotect: PROT_NONE keeps the page but neither hardware nor faults get at it",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0}, {});
    Page& page = bench.mapped_page(mm, 0);
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(1), 0);
    const Pte pte = bench.pte(mm, 0);
    CHECK_FALSE(pte.valid());
    CHECK(pte.present());
    CHECK(pte.prot_none());
    CHECK(pte.frame() == page.pfn());
    // The frame is stored inverted, and neither U, W nor NX are set (pgtable-invert.h).
    CHECK((pte.raw() & Pte::kFrameMask) == (~address_of(page.pfn()).value & Pte::kFrameMask));
    CHECK((pte.raw() & ~Pte::kFrameMask) == (Pte::kProtNone | Pte::kAccessed | Pte::kDirty));
    CHECK_FALSE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    CHECK_FALSE(
        bench.kernel.get_user_page(bench.cpu(), mm.context.id, bench.page(0), Access::kRead));
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 1);

    bench.kernel.mprotect(bench.cpu(), mm, bench.range(1), kReadWrite);
    CHECK(bench.pte(mm, 0).valid());
    CHECK(bench.pte(mm, 0).frame() == page.pfn());
    // The write faults once, because private pages are protected until written.
    CHECK_FALSE(bench.pte(mm, 0).writable());
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
    CHECK(&bench.mapped_page(mm, 0) == &page);
}

TEST_CASE("mprotect: a PROT_NONE page is found by the reverse map and can be unmapped",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(2), 0);
    Page& page = bench.isolate(mm, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    CHECK(bench.try_to_unmap(page, TtuFlags::kNone));
    // Nothing can have it in a TLB, so nothing is flushed.
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
    unlock_page(bench.cpu(), page);
    CHECK(bench.kernel.munmap(bench.cpu(), mm, bench.range(2)) == 2);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_rss == 0);
}

TEST_CASE("mprotect: while its flush is pending a PROT_NONE entry may be in TLBs", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(1), 0);
    Page& page = bench.isolate(mm, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    bench.machine.memory()[mm.tlb_flush_pending] = {1, 0};
    CHECK(bench.try_to_unmap(page, TtuFlags::kNone));
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 1);
}

TEST_CASE("mprotect: a page that is being migrated comes back read-only", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.isolate(mm, 0);
    REQUIRE(bench.try_to_unmap(page, TtuFlags::kMigration | TtuFlags::kIgnoreAccess));
    REQUIRE(bench.pte(mm, 0).migration_writable());
    CHECK(bench.kernel.mprotect(bench.cpu(), mm, bench.range(1), VmFlags::kRead).pages == 1);
    CHECK(bench.pte(mm, 0).migration());
    CHECK_FALSE(bench.pte(mm, 0).migration_writable());
    remove_migration_ptes(bench.cpu(), bench.kernel.state(), page, page);
    CHECK_FALSE(bench.pte(mm, 0).writable());
}

TEST_CASE("mprotect: what was never touched needs neither section nor flush", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(4));
    bench.watch(mm);
    bench.trace().clear();
    CHECK(bench.kernel.mprotect(bench.cpu(), mm, bench.range(4), VmFlags::kRead).pages == 0);
    CHECK(bench.trace().count(Event::kMnStart) == 0);
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
}

TEST_CASE("mprotect: the section begins at the first page table and ends with its gigabyte",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    constexpr std::uint64_t kGigabyte = 512 * 512;
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2 * kGigabyte));
    bench.kernel.touch(bench.cpu(), mm, bench.page(600), Access::kWrite);
    bench.watch(mm);
    bench.trace().clear();
    CHECK(
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(2 * kGigabyte), VmFlags::kRead).pages ==
        1);
    REQUIRE(bench.trace().count(Event::kMnStart) == 1);
    const auto section = bench.trace().first(Event::kMnStart);
    CHECK(bench.trace().argument(section, "start") == bench.page(512).value);
    CHECK(bench.trace().argument(section, "end") == bench.page(kGigabyte).value);
}

TEST_CASE("mprotect: the middle of a mapping becomes a VMA and merges again", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(6, {0});
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(2, 2), VmFlags::kRead);
    REQUIRE(mm.mmap.size() == 3);
    CHECK(mm.find_vma(bench.page(1))->vm_end == bench.page(2));
    CHECK_FALSE(mm.find_vma(bench.page(3))->has(VmFlags::kWrite));
    CHECK(mm.find_vma(bench.page(4))->has(VmFlags::kWrite));
    CHECK(mm.data_vm == 4);
    CHECK(mm.total_vm == 6);

    bench.kernel.mprotect(bench.cpu(), mm, bench.range(2, 2), kReadWrite);
    REQUIRE(mm.mmap.size() == 1);
    CHECK(mm.find_vma(bench.page(0))->range() == bench.range(6));
    CHECK(mm.data_vm == 6);
    for (std::uint64_t index = 0; index < 6; ++index)
        CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(index), Access::kWrite));
}

TEST_CASE("mprotect: each of the cases of vma_merge leaves pages that the reverse map finds",
          "[unit][rmap]") {
    // The pages of three VMAs "PPP|NNN|XXX" (previous, next, behind), and what then becomes like
    // its neighbours. The cases are those of mm/mmap.c.
    struct Case {
        const char* name;
        std::uint64_t first, pages;
        std::uint64_t prot;
        std::size_t vmas;
    };
    const Case cases[] = {
        {"4: the boundary moves down", 2, 1, VmFlags::kRead, 3},
        {"5: the boundary moves up", 3, 1, kReadWrite, 3},
        {"6: all three become one", 3, 3, kReadWrite, 1},
        {"split at both ends", 4, 1, kReadWrite, 5},
    };
    for (const Case& at : cases) {
        CAPTURE(at.name);
        KernelBench bench;
        Mm& mm = bench.anon_mm(9, {0});
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(3, 3), VmFlags::kRead);
        REQUIRE(mm.mmap.size() == 3);
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(at.pages, at.first), at.prot);
        CHECK(mm.mmap.size() == at.vmas);
        for (std::uint64_t index = 0; index < 9; ++index) {
            Page& page = bench.isolate(mm, index);
            REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
            CHECK(bench.try_to_unmap(page, TtuFlags::kNone));
            unlock_page(bench.cpu(), page);
        }
        CHECK(bench.kernel.munmap(bench.cpu(), mm, bench.range(9)) == 9);
        CHECK(mm.total_vm == 0);
    }
}

TEST_CASE("mprotect: a boundary that disappears takes one of the VMAs with it", "[unit][rmap]") {
    KernelBench bench;
    // Cases 7 and 8: a VMA goes over to the one before it, or to the one behind it.
    for (const auto prot : {kReadWrite, std::uint64_t{VmFlags::kRead}}) {
        Mm& mm = bench.anon_mm(9, {0});
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(3, 3), 0);
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(3, 6), VmFlags::kRead);
        REQUIRE(mm.mmap.size() == 3);
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(3, 3), prot);
        REQUIRE(mm.mmap.size() == 2);
        CHECK(mm.find_vma(bench.page(0))->vm_end == bench.page(prot == kReadWrite ? 6 : 3));
        for (std::uint64_t index = 0; index < 9; ++index) {
            Page& page = bench.isolate(mm, index);
            REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
            CHECK(bench.try_to_unmap(page, TtuFlags::kNone));
            unlock_page(bench.cpu(), page);
        }
        bench.kernel.munmap(bench.cpu(), mm, bench.range(9));
    }
}

TEST_CASE("mprotect: a dirty page of a shared file may be written again without a fault",
          "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 2);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(2), file);
    bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite);
    bench.kernel.touch(bench.cpu(), mm, bench.page(1), Access::kRead);
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(2), VmFlags::kRead);
    CHECK_FALSE(bench.pte(mm, 0).writable());
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(2), kReadWrite);
    CHECK(bench.pte(mm, 0).writable());
    CHECK_FALSE(bench.pte(mm, 1).writable());
}

TEST_CASE("mprotect: errors leave what comes before them changed", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(4, {0});
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1, 2));
    RangeResult result = bench.kernel.mprotect(bench.cpu(), mm, bench.range(4), VmFlags::kRead);
    CHECK(result.error == Errno::kNoMemory);
    CHECK(result.pages == 2);
    CHECK(mm.find_vma(bench.page(3))->has(VmFlags::kWrite));

    MmapRequest request;
    request.range = bench.range(1, 10);
    request.vm_flags = VmFlags::kRead | VmFlags::kMayRead;
    bench.kernel.mmap(bench.cpu(), mm, request);
    result = bench.kernel.mprotect(bench.cpu(), mm, request.range, kReadWrite);
    CHECK(result.error == Errno::kAccess);
}

TEST_CASE("mprotect: what reclaim deferred is flushed before entries are trusted", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0, 1});
    bench.machine.memory()[mm.tlb_flush_batched] = {1, 0};
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(2), VmFlags::kRead);
    CHECK(
        bench.order({Event::kFlushTlbBatchedPending, Event::kFlushTlbMmRange, Event::kPteClear}) ==
        "flush_tlb_batched_pending flush_tlb_mm_range "
        "pte_clear pte_clear flush_tlb_mm_range");
}

TEST_CASE("mprotect: locked private memory that becomes writable is copied at once",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2));
    bench.kernel.mprotect(bench.cpu(), mm, bench.range(2), VmFlags::kRead);
    const bool locked = GENERATE(true, false);
    if (locked) bench.kernel.mlock(bench.cpu(), mm, bench.range(2));
    bench.trace().clear();
    const RangeResult result =
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(2), VmFlags::kRead | VmFlags::kWrite);
    CHECK(result.error == Errno::kNone);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == (locked ? 2u : 0u));
    if (!locked) return;
    CHECK(bench.pte(mm, 1).writable());
    CHECK(bench.order({Event::kMmapSemLock, Event::kMmapSemUnlock, Event::kFlushTlbMmRange,
                       Event::kPtepClearFlush}) ==
          "mmap_sem_lock flush_tlb_mm_range ptep_clear_flush flush_tlb_mm_range ptep_clear_flush "
          "flush_tlb_mm_range mmap_sem_unlock");
}
