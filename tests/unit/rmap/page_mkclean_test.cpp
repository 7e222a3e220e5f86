// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/page_mkclean.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

struct FileMm {
    explicit FileMm(KernelBench& on, Access access = Access::kWrite)
        : bench(on),
          file(on.kernel.create_file("file", 1)),
          mm(on.kernel.create_mm(on.cpu(), "main")) {
        on.kernel.mmap_file(on.cpu(), mm, on.range(1), file);
        Populate how;
        how.access = access;
        on.kernel.populate(on.cpu(), mm, on.range(1), how);
        on.run(0, mm);
    }

    Page& page() { return bench.mapped_page(mm, 0); }
    std::uint64_t clean() {
        lock_page(bench.cpu(), page());
        bench.trace().clear();
        const std::uint64_t cleaned = page_mkclean(bench.cpu(), bench.kernel.state(), page());
        unlock_page(bench.cpu(), page());
        return cleaned;
    }

    KernelBench& bench;
    AddressSpace& file;
    Mm& mm;
};

}  // namespace

TEST_CASE("page_mkclean: a dirty mapping is cleaned in the canonical order", "[unit][rmap]") {
    KernelBench bench;
    FileMm on(bench);
    bench.watch(on.mm);
    const Pte before = bench.pte(on.mm, 0);
    REQUIRE((before.dirty() && before.writable()));
    CHECK(on.clean() == 1);
    CHECK(bench.canonical(Event::kPageMkcleanOne, Event::kRmapWalkFileRet) ==
          "MN.START, PTL+, PTE.CLR, FL1, PTE.SET(clean), PTL-, MN.END");
    CHECK(bench.pte(on.mm, 0) == before.without(Pte::kDirty | Pte::kWritable));
    CHECK(bench.kernel.read_pte(bench.cpu(), on.mm, bench.page(0))->generation ==
          on.page().generation);
    // c_fsync_file_dirty_p1_n4_thr3
    CHECK(bench.order({Event::kPageMkclean, Event::kRmapWalkFile, Event::kPageMkcleanOne,
                       Event::kPageVmaMappedWalk, Event::kPtepClearFlush, Event::kPtepClearFlushRet,
                       Event::kMkcleanSetPte, Event::kRmapWalkFileRet, Event::kPageMkcleanRet}) ==
          "page_mkclean rmap_walk_file page_mkclean_one page_vma_mapped_walk ptep_clear_flush "
          "ptep_clear_flush_ret mkclean_set_pte page_vma_mapped_walk rmap_walk_file_ret "
          "page_mkclean_ret");
    CHECK(on.page().mapcount(bench.cpu()) == 1);

    // Nothing is left to do, but the section is there.
    CHECK(on.clean() == 0);
    CHECK(bench.canonical(Event::kPageMkcleanOne, Event::kRmapWalkFileRet) ==
          "MN.START, PTL+, PTL-, MN.END");
}

TEST_CASE("page_mkclean: the next write faults and dirties the page again", "[unit][rmap]") {
    KernelBench bench;
    FileMm on(bench);
    on.page().clear(bench.cpu(), PageFlag::kDirty);
    on.clean();
    CHECK_FALSE(on.page().test(bench.cpu(), PageFlag::kDirty));
    REQUIRE(bench.kernel.touch(bench.cpu(), on.mm, bench.page(0), Access::kWrite));
    CHECK(on.page().test(bench.cpu(), PageFlag::kDirty));
}

TEST_CASE("page_mkclean: every shared mapping is visited and private ones are not",
          "[unit][rmap]") {
    KernelBench bench;
    FileMm on(bench);
    Mm& child = bench.kernel.fork(bench.cpu(), on.mm, "child");
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kWrite));
    Mm& priv = bench.kernel.create_mm(bench.cpu(), "private");
    bench.kernel.mmap_file(bench.cpu(), priv, bench.range(1), on.file, 0,
                           Kernel::Sharing::kPrivate);
    REQUIRE(bench.kernel.touch(bench.cpu(), priv, bench.page(0), Access::kRead));
    REQUIRE(on.page().mapcount(bench.cpu()) == 3);
    CHECK(on.clean() == 2);
    CHECK(bench.values(Event::kPageMkcleanOne, "mm") ==
          std::vector<std::uint64_t>{on.mm.context.id, child.context.id});
}

TEST_CASE("page_mkclean: a mapping is not missed while somebody else clears it", "[unit][rmap]") {
    KernelBench bench;
    FileMm on(bench);
    // PVMW_SYNC: the lock is taken before the entry is looked at for the first time.
    const auto slot =
        find_pte(bench.cpu(), bench.kernel.state(), on.mm, bench.page(0), Part::kUser);
    const Pte pte = bench.pte(on.mm, 0);
    bench.machine.memory()[slot->ptep].value = 0;
    lock_page(bench.cpu(), bench.kernel.state().pages.pfn_to_page(pte.frame()));
    bench.trace().clear();
    page_mkclean(bench.cpu(), bench.kernel.state(),
                 bench.kernel.state().pages.pfn_to_page(pte.frame()));
    CHECK(bench.order({Event::kPtlLock, Event::kPtlUnlock}) == "ptl_lock ptl_unlock");
}

TEST_CASE("page_mkclean: what nothing maps and what is anonymous is not walked", "[unit][rmap]") {
    KernelBench bench;
    FileMm on(bench);
    Page& page = on.page();
    bench.kernel.munmap(bench.cpu(), on.mm, bench.range(1));
    Mm& mm = bench.anon_mm(1, {0});
    Page& anon = bench.mapped_page(mm, 0);
    for (Page* unwalked : {&page, &anon}) {
        lock_page(bench.cpu(), *unwalked);
        CHECK(page_mkclean(bench.cpu(), bench.kernel.state(), *unwalked) == 0);
        unlock_page(bench.cpu(), *unwalked);
    }
    CHECK(bench.trace().count(Event::kPageMkcleanOne) == 0);
    CHECK_THROWS_AS(page_mkclean(bench.cpu(), bench.kernel.state(), page), InvariantError);
}
