// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/page_idle.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/page_referenced.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

FrameNumber chunk_of(const Page& page) {
    return {page.pfn().value / kBitmapChunkBits * kBitmapChunkBits};
}
std::uint64_t bit_of(const Page& page) {
    return std::uint64_t{1} << page.pfn().value % kBitmapChunkBits;
}

std::uint64_t mark(KernelBench& bench, const Page& page) {
    bench.trace().clear();
    return bench.kernel.page_idle_bitmap_write(bench.cpu(), chunk_of(page), bit_of(page));
}

bool idle(KernelBench& bench, const Page& page) {
    bench.trace().clear();
    return bench.kernel.page_idle_bitmap_read(bench.cpu(), chunk_of(page)) & bit_of(page);
}

PageReferenced referenced(KernelBench& bench, Page& page) {
    return page_referenced(bench.cpu(), bench.kernel.state(), page, PageLocked::kNo, {});
}

}  // namespace

TEST_CASE("page idle: marking a page asks its mappings in the captured order", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0}, {});
    bench.watch(mm);
    Page& page = bench.mapped_page(mm, 0);
    CHECK(mark(bench, page) == 1);
    // m_idleset_n4_p3, with notifiers as in n_kvm_idleset_n4_halt
    CHECK(bench.order({Event::kPageIdleClearPteRefs, Event::kRmapWalkAnon, Event::kLockAnonVmaRead,
                       Event::kPageIdleClearPteRefsOne, Event::kPageVmaMappedWalk,
                       Event::kPageVmaMappedWalkRet, Event::kPtepTestAndClearYoung,
                       Event::kMnClearYoung, Event::kRmapWalkAnonRet}) ==
          "page_idle_clear_pte_refs rmap_walk_anon lock_anon_vma_read page_idle_clear_pte_refs_one "
          "page_vma_mapped_walk page_vma_mapped_walk_ret ptep_test_and_clear_young mn_clear_young "
          "page_vma_mapped_walk page_vma_mapped_walk_ret rmap_walk_anon_ret");
    CHECK(bench.trace().count(Event::kMnStart) == 0);
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
    CHECK_FALSE(bench.pte(mm, 0).young());
    CHECK(page.test(bench.cpu(), PageFlag::kIdle));
    CHECK(page.refcount(bench.cpu()) == 1);
}

TEST_CASE("page idle: a page is idle until somebody accesses it", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(mm, 0);
    CHECK_FALSE(idle(bench, page));  // not marked
    CHECK(bench.trace().count(Event::kPageIdleClearPteRefs) == 0);
    mark(bench, page);
    CHECK(idle(bench, page));
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    CHECK_FALSE(idle(bench, page));
    CHECK(bench.trace().count(Event::kPageIdleClearPteRefs) == 1);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kIdle));
    CHECK_FALSE(idle(bench, page));
    CHECK(bench.trace().count(Event::kPageIdleClearPteRefs) == 0);
}

TEST_CASE("page idle: an access through a secondary MMU counts", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    bench.watch(mm);
    Page& page = bench.mapped_page(mm, 0);
    mark(bench, page);
    const auto sequence = bench.client.sequence(bench.cpu(1), mm.context.id);
    bench.client.record_access(bench.cpu(1), mm.context.id, bench.page(0), sequence);
    CHECK_FALSE(idle(bench, page));
    mark(bench, page);
    CHECK(idle(bench, page));
}

TEST_CASE("page idle: reclaim still learns of the access that tracking has taken", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0}, {});
    Page& page = bench.mapped_page(mm, 0);
    mark(bench, page);
    CHECK(page.test(bench.cpu(), PageFlag::kYoung));
    CHECK(referenced(bench, page).vmas == 1);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kYoung));
    CHECK(page.test(bench.cpu(), PageFlag::kIdle));  // the access was before the mark
    CHECK(referenced(bench, page).vmas == 0);
}

TEST_CASE("page idle: reclaim that finds an access ends idleness", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {0});
    Page& page = bench.mapped_page(mm, 0);
    mark(bench, page);
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    CHECK(referenced(bench, page).vmas == 1);
    CHECK_FALSE(idle(bench, page));

    Page& other = bench.mapped_page(mm, 1);
    mark(bench, other);
    mark_page_accessed(bench.cpu(), bench.kernel.state(), other);
    CHECK_FALSE(idle(bench, other));
}

TEST_CASE("page idle: only pages on an LRU list are tracked", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(mm, 0);
    REQUIRE(bench.kernel.state().lru.isolate_lru_page(bench.cpu(), page));
    CHECK(mark(bench, page) == 0);
    CHECK(bench.trace().count(Event::kPageIdleClearPteRefs) == 0);
    // Frames of no node, and bits of others than the pages in question.
    CHECK(bench.kernel.page_idle_bitmap_write(bench.cpu(), {0}, ~std::uint64_t{0}) == 0);
    CHECK(bench.kernel.page_idle_bitmap_read(bench.cpu(), {0}) == 0);
    putback_lru_page(bench.cpu(), bench.kernel.state(), page);
    CHECK(mark(bench, page) == 0);  // still on its way
    bench.drain();
    CHECK(bench.kernel.page_idle_bitmap_write(bench.cpu(), chunk_of(page), ~bit_of(page)) == 0);
    CHECK(mark(bench, page) == 1);
}

TEST_CASE("page idle: a page of a file that somebody has locked is not asked", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1));
    Page& page = bench.mapped_page(mm, 0);
    lock_page(bench.cpu(1), page);
    CHECK(mark(bench, page) == 1);
    CHECK(bench.trace().count(Event::kRmapWalkFile) == 0);
    CHECK(bench.pte(mm, 0).young());
    unlock_page(bench.cpu(1), page);
    CHECK(mark(bench, page) == 1);
    CHECK_FALSE(bench.pte(mm, 0).young());
    CHECK(page.lock.held_by(bench.cpu()) == false);
}
