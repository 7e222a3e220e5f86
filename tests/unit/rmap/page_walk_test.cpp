// SPDX-License-Identifier: Apache-2.0
// page_vma_mapped_walk() and page_referenced(), which look at one mapping and at all of them.
#include "rmap/walk/page_vma_mapped_walk.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/page_referenced.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

struct Walk {
    Walk(KernelBench& on, Mm& mm, Page& page, PvmwFlags flags = PvmwFlags::kNone)
        : bench(on), pvmw{page, *mm.find_vma(KernelBench::page(0)), KernelBench::page(0), flags} {}

    bool step() {
        bench.trace().clear();
        return page_vma_mapped_walk(bench.cpu(), bench.kernel.state(), pvmw);
    }
    std::string locks() { return bench.order({Event::kPtlLock, Event::kPtlUnlock}); }

    KernelBench& bench;
    PageVmaMappedWalk pvmw;
};

PageReferenced referenced(KernelBench& bench, Page& page, PageLocked locked = PageLocked::kNo) {
    bench.trace().clear();
    return page_referenced(bench.cpu(), bench.kernel.state(), page, locked, {});
}

}  // namespace

TEST_CASE("page walk: a mapping is hit once with its table locked until the next call",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Walk walk(bench, mm, bench.mapped_page(mm, 0));
    REQUIRE(walk.step());
    CHECK(walk.locks() == "ptl_lock");
    CHECK(bench.values(Event::kPageVmaMappedWalk, "ptep") == std::vector<std::uint64_t>{0});
    CHECK(pte_of(read_pte(bench.cpu(), walk.pvmw.slot.ptep)) == bench.pte(mm, 0));
    const std::uint64_t ptep = walk.pvmw.slot.ptep.value;
    REQUIRE_FALSE(walk.step());
    CHECK(walk.locks() == "ptl_unlock");
    CHECK(bench.values(Event::kPageVmaMappedWalk, "ptep") == std::vector<std::uint64_t>{ptep});
    CHECK(bench.values(Event::kPageVmaMappedWalkRet, "ret") == std::vector<std::uint64_t>{0});
}

TEST_CASE("page walk: an empty entry is passed over without a lock unless asked to be sure",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {});
    Page& page = bench.mapped_page(mm, 0);
    Page& other = bench.mapped_page(mm, 1);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    lock_page(bench.cpu(), page);
    REQUIRE(bench.try_to_unmap(page, TtuFlags::kNone));

    Walk swapped(bench, mm, page);
    CHECK_FALSE(swapped.step());
    CHECK(swapped.locks().empty());
    Walk sure(bench, mm, page, PvmwFlags::kSync);
    CHECK_FALSE(sure.step());
    CHECK(sure.locks() == "ptl_lock ptl_unlock");

    // Another page at that place needs the lock to be told apart.
    Walk wrong(bench, mm, page);
    wrong.pvmw.address = bench.page(1);
    CHECK_FALSE(wrong.step());
    CHECK(wrong.locks() == "ptl_lock ptl_unlock");
    CHECK(other.mapcount(bench.cpu()) == 1);
}

TEST_CASE("page walk: migration entries are found only when looked for", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Page& page = bench.isolate(mm, 0);
    Walk before(bench, mm, page, PvmwFlags::kSync | PvmwFlags::kMigration);
    CHECK_FALSE(before.step());
    REQUIRE(bench.try_to_unmap(page, TtuFlags::kMigration | TtuFlags::kIgnoreAccess));
    CHECK_FALSE(Walk(bench, mm, page).step());
    Walk after(bench, mm, page, PvmwFlags::kSync | PvmwFlags::kMigration);
    CHECK(after.step());
    page_vma_mapped_walk_done(bench.cpu(), after.pvmw);
    CHECK(after.locks() == "ptl_lock ptl_unlock");
}

TEST_CASE("page walk: where no table is nothing is locked", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Mm& empty = bench.kernel.create_mm(bench.cpu(), "empty");
    bench.kernel.mmap_anon(bench.cpu(), empty, bench.range(1));
    Walk walk(bench, empty, bench.mapped_page(mm, 0), PvmwFlags::kSync);
    CHECK_FALSE(walk.step());
    CHECK(walk.locks().empty());
}

TEST_CASE("page walk: the software walk costs its levels and is charged to them", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Walk walk(bench, mm, bench.mapped_page(mm, 0));
    const PartTimes before = bench.machine.time(0).charged();
    REQUIRE(walk.step());
    const PartTimes spent = bench.machine.time(0).charged() - before;
    const Duration access = bench.machine.plain_costs().memory_access;
    CHECK(spent[Part::kRmapWalk] == bench.machine.costs().page_walk_level * 4 + access * 3);
    CHECK(spent[Part::kPteAccess] == access * 2);  // before and under the lock
    CHECK(spent[Part::kLock] == access);
}

TEST_CASE("page_referenced: counts VMAs and clears their accessed bits", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Page& page = bench.mapped_page(parent, 0);
    REQUIRE(bench.kernel.touch(bench.cpu(), parent, bench.page(0), Access::kRead));
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kRead));
    CHECK(referenced(bench, page).vmas == 2);
    CHECK_FALSE(bench.pte(parent, 0).young());
    CHECK_FALSE(bench.pte(child, 0).young());
    CHECK(bench.trace().count(Event::kFlushTlbMmRange) == 0);
    CHECK(bench.trace().count(Event::kMnStart) == 0);
    CHECK(referenced(bench, page).vmas == 0);
    // The walk ends when all mappings were seen.
    CHECK(bench.values(Event::kPageReferencedOneRet, "ret") == std::vector<std::uint64_t>{1, 0});
}

TEST_CASE("page_referenced: a mapping that is read in sequence is aged but not counted",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(1), VmFlags::kSeqRead);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1));
    CHECK(referenced(bench, bench.mapped_page(mm, 0)).vmas == 0);
    CHECK_FALSE(bench.pte(mm, 0).young());
}

TEST_CASE("page_referenced: the answer of secondary MMUs counts", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    bench.watch(mm);
    Page& page = bench.mapped_page(mm, 0);
    const auto sequence = bench.client.sequence(bench.cpu(1), mm.context.id);
    bench.client.record_access(bench.cpu(1), mm.context.id, bench.page(0), sequence);
    CHECK(referenced(bench, page).vmas == 1);
    CHECK(referenced(bench, page).vmas == 0);
    CHECK(bench.order({Event::kPtepClearFlushYoungRet, Event::kMnClearFlushYoung}) ==
          "ptep_clear_flush_young_ret mn_clear_flush_young");
}

TEST_CASE("page_referenced: a file page that cannot be locked counts as referenced",
          "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1), KernelBench::kColdRead);
    Page& page = bench.mapped_page(mm, 0);
    lock_page(bench.cpu(1), page);
    CHECK(referenced(bench, page).vmas == 1);
    CHECK(bench.trace().count(Event::kRmapWalkFile) == 0);
    unlock_page(bench.cpu(1), page);
    CHECK(referenced(bench, page).vmas == 0);
    CHECK(bench.trace().count(Event::kRmapWalkFile) == 1);
    lock_page(bench.cpu(0), page);  // and it was unlocked again
}

TEST_CASE("page_referenced: an unmapped page is not walked", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Page& page = bench.mapped_page(mm, 0);
    get_page(bench.cpu(), page);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1));
    CHECK(referenced(bench, page).vmas == 0);
    CHECK(bench.order({Event::kPageReferenced, Event::kRmapWalkAnon, Event::kPageReferencedRet}) ==
          "page_referenced page_referenced_ret");
}

TEST_CASE("page_referenced: a VM_LOCKED VMA ends the walk at once", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Page& page = bench.mapped_page(parent, 0);
    for (Mm* mm : {&parent, &child})
        REQUIRE(bench.kernel.touch(bench.cpu(), *mm, bench.page(0), Access::kRead));
    Vma& vma = *parent.find_vma(bench.page(0));
    set_vm_flags(bench.cpu(), vma, vma.vm_flags | VmFlags::kLocked);
    const PageReferenced result = referenced(bench, page);
    CHECK(result.vmas == 0);
    CHECK(result.vm_flags == VmFlags::kLocked);
    CHECK(bench.values(Event::kPageReferencedOneRet, "ret") == std::vector<std::uint64_t>{0});
    CHECK(bench.order({Event::kPtlLock, Event::kPtlUnlock}) == "ptl_lock ptl_unlock");
    CHECK(bench.pte(parent, 0).young());
    CHECK(bench.pte(child, 0).young());
}

TEST_CASE("page_referenced: the flags of VMAs that accessed the page are collected",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Page& page = bench.mapped_page(parent, 0);
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kRead));
    Vma& vma = *child.find_vma(bench.page(0));
    set_vm_flags(bench.cpu(), vma, vma.vm_flags | VmFlags::kExec);
    CHECK(referenced(bench, page).vm_flags == vma.vm_flags);
    CHECK(referenced(bench, page).vm_flags == 0);
}
