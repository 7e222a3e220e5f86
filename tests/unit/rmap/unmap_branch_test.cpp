// SPDX-License-Identifier: Apache-2.0
// X1 to X3 and X12: what single branches of an unmap leave behind, beside the order of their
// events.
#include <catch2/catch.hpp>

#include "tests/unit/rmap/unmap_subject.hpp"

using namespace mmusim::rmap;
using namespace mmusim::test;

TEST_CASE("X1: one section is opened and closed per VMA that is visited", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Mm& other = bench.kernel.fork(bench.cpu(), parent, "other");
    for (Mm* mm : {&parent, &child, &other}) bench.watch(*mm);
    // The child has its own page, so its VMA is visited for nothing.
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kWrite));
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    Page& page = bench.isolate(parent, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    const std::vector<std::uint64_t> visited{parent.context.id, child.context.id, other.context.id};
    CHECK(bench.values(Event::kMnStart, "mm") == visited);
    CHECK(bench.values(Event::kMnEnd, "mm") == visited);
    CHECK(bench.values(Event::kMnStart, "end") ==
          std::vector<std::uint64_t>(3, bench.page(1).value));
}

TEST_CASE("X1: munlock opens no section in VMAs that are not VM_LOCKED", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Mm& other = bench.kernel.fork(bench.cpu(), parent, "other");
    for (Mm* mm : {&parent, &child, &other}) bench.watch(*mm);
    Vma& locked = *other.find_vma(bench.page(0));
    set_vm_flags(bench.cpu(), locked, locked.vm_flags | VmFlags::kLocked);
    Page& page = bench.isolate(parent, 0);
    bench.trace().clear();
    try_to_munlock(bench.cpu(), bench.kernel.state(), page);
    CHECK(bench.trace().count(Event::kTryToUnmapOne) == 3);
    CHECK(bench.values(Event::kMnStart, "mm") == std::vector<std::uint64_t>{other.context.id});
    CHECK(bench.values(Event::kMnEnd, "mm") == std::vector<std::uint64_t>{other.context.id});
}

TEST_CASE("X1: an entry that no CPU may use is cleared without a flush but deferred like others",
          "[unit][rmap]") {
    for (const CpuId runs_on : {0u, 1u}) {
        KernelBench bench;
        Mm& mm = bench.anon_mm(1, {runs_on});
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(1), 0);
        REQUIRE(bench.pte(mm, 0).prot_none());
        Page& page = bench.isolate(mm, 0);
        REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
        const std::uint64_t gen = bench.tlb_gen(mm);
        REQUIRE(bench.try_to_unmap(page, kReclaim | TtuFlags::kIgnoreAccess));
        const bool deferred = runs_on == 1;
        CHECK(bench.tlb_gen(mm) == gen + (deferred ? 1 : 0));
        CHECK(bench.cpu().current->tlb_ubc.flush_required == deferred);
        CHECK(bench.trace().count(Event::kTlbFlush) == 0);
        CHECK(bench.pte(mm, 0) == Pte::swap_entry(0, page.swap.offset));
    }
}

TEST_CASE("X1: a lazyfree page that was written again is swap-backed again", "[unit][rmap]") {
    KernelBench bench;
    Subject subject{bench, bench.kernel.create_mm(bench.cpu(), "main")};
    lazyfree(subject);
    REQUIRE(bench.kernel.touch(bench.cpu(), subject.mm, bench.page(0), Access::kWrite));
    const Pte before = bench.pte(subject.mm, 0);
    Page& page = subject.isolated();
    REQUIRE_FALSE(page.test(bench.cpu(), PageFlag::kSwapBacked));
    CHECK_FALSE(bench.try_to_unmap(page, kReclaim | TtuFlags::kIgnoreAccess));
    CHECK(page.test(bench.cpu(), PageFlag::kSwapBacked));
    CHECK(bench.pte(subject.mm, 0) == before);
    CHECK(bench.kernel.read_pte(bench.cpu(), subject.mm, bench.page(0))->generation ==
          page.generation);
    CHECK(bench.order({Event::kPteRestore, Event::kPteRestoreLazyfree}) == "pte_restore_lazyfree");
}

TEST_CASE("X1: a page without a place in swap is lost and warned of once", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    for (const std::uint64_t index : {0, 1}) {
        Page& page = bench.isolate(mm, index);
        CHECK_FALSE(bench.try_to_unmap(page, kReclaim));
        CHECK(bench.trace().count(Event::kWarnSwapBacked) == (index == 0 ? 1u : 0u));
        CHECK(bench.pte(mm, index).none());
        CHECK(page.mapcount(bench.cpu()) == 1);
        CHECK(page.refcount(bench.cpu()) == 2);
    }
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 2);
}

TEST_CASE("X2: migration that a temporary stack stops returns false and leaves it mapped",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_anon(bench.cpu(), parent, bench.range(1), VmFlags::kGrowsDown);
    bench.kernel.populate(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Vma& stack = *child.find_vma(bench.page(0));
    set_vm_flags(bench.cpu(), stack, stack.vm_flags | VmFlags::kRandRead | VmFlags::kSeqRead);
    Page& page = bench.isolate(parent, 0);
    CHECK_FALSE(bench.try_to_unmap(page, kMigrate));
    CHECK(bench.values(Event::kTryToUnmapOne, "mm") ==
          std::vector<std::uint64_t>{parent.context.id});
    CHECK(bench.pte(parent, 0).migration());
    CHECK(bench.pte(child, 0).present());
    CHECK(page.mapcount(bench.cpu()) == 1);
}

TEST_CASE("X2: true exactly if nothing maps the page afterwards", "[unit][rmap]") {
    enum class Middle { kGoes, kYoung, kLocked };
    for (const Middle middle : {Middle::kGoes, Middle::kYoung, Middle::kLocked}) {
        KernelBench bench;
        Mm& parent = bench.anon_mm(1, {});
        Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
        Mm& other = bench.kernel.fork(bench.cpu(), parent, "other");
        if (middle == Middle::kYoung)
            REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kRead));
        Vma& vma = *child.find_vma(bench.page(0));
        if (middle == Middle::kLocked)
            set_vm_flags(bench.cpu(), vma, vma.vm_flags | VmFlags::kLocked);
        Page& page = bench.isolate(parent, 0);
        REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
        const bool unmapped = bench.try_to_unmap(page, kReclaim);
        CHECK(unmapped == (middle == Middle::kGoes));
        CHECK(unmapped == (page.mapcount(bench.cpu()) == 0));
        // Who stops the walk keeps those behind him, too.
        CHECK(bench.pte(parent, 0).swap_type());
        CHECK(bench.pte(child, 0).present() == !unmapped);
        CHECK(bench.pte(other, 0).present() == !unmapped);
    }
}

TEST_CASE("X3: a page from before fork is unmapped in all descendants", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Mm& grandchild = bench.kernel.fork(bench.cpu(), child, "grandchild");
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    Page& page = bench.isolate(parent, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    for (Mm* mm : {&parent, &child, &grandchild}) {
        CHECK(bench.pte(*mm, 0) == Pte::swap_entry(0, page.swap.offset));
        const MmStatus status = bench.kernel.status(bench.cpu(), *mm);
        CHECK(status.rss_anon == 0);
        CHECK(status.vm_swap == 1);
    }
}

TEST_CASE("X3: a page of a child is not searched in its parent when it is unmapped",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kWrite));
    bench.kernel.arrange(bench.cpu(), child, bench.range(1), KernelBench::kColdDirty);
    Page& copy = bench.isolate(child, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), copy));
    REQUIRE(bench.try_to_unmap(copy, kReclaim));
    CHECK(bench.values(Event::kTryToUnmapOne, "mm") ==
          std::vector<std::uint64_t>{child.context.id});
    CHECK(bench.pte(parent, 0).present());
}

TEST_CASE("X1: the log tells the flags of the VMA that is visited", "[unit][rmap]") {
    KernelBench bench;
    AddressSpace& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(1), KernelBench::kColdRead);
    Page& page = bench.isolate(mm, 0);
    REQUIRE(bench.try_to_unmap(page, kReclaim));
    CHECK(bench.values(Event::kTryToUnmapOne, "vm_flags") == std::vector<std::uint64_t>{0xfb});
    // As in g_move_mlocked_anon_n4_thr3, apart from MADV_NOHUGEPAGE.
    Mm& anon = bench.anon_mm(1, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), anon, bench.range(1)) == Errno::kNone);
    bench.drain();
    REQUIRE(bench.try_to_unmap(bench.isolate(anon, 0), kMigrate));
    CHECK(bench.values(Event::kTryToUnmapOne, "vm_flags") == std::vector<std::uint64_t>{0x102073});
}

TEST_CASE("X12: a VMA that is munlocked between two looks of the walk is passed over",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Vma& vma = *mm.find_vma(bench.page(0));
    set_vm_flags(bench.cpu(), vma, vma.vm_flags | VmFlags::kLocked);
    Page& page = bench.isolate(mm, 0);
    bench.trace().clear();
    bench.trace().at_next(Event::kPtlLock, 0, [&] {
        set_vm_flags(bench.cpu(1), vma, vma.vm_flags & ~VmFlags::kLocked);
    });
    try_to_munlock(bench.cpu(), bench.kernel.state(), page);
    CHECK(bench.trace().count(Event::kMlockPage) == 0);
    CHECK(bench.values(Event::kTryToUnmapOneRet, "ret") == std::vector<std::uint64_t>{1});
    CHECK(bench.order({Event::kPtlLock, Event::kPtlUnlock}) == "ptl_lock ptl_unlock");
    CHECK(bench.pte(mm, 0).present());
}
