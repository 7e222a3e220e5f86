// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/fault.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

Mm& empty_mm(KernelBench& bench, std::uint64_t pages) {
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(pages));
    return mm;
}

FaultResult fault(KernelBench& bench, Mm& mm, std::uint64_t index, Access access, CpuId cpu = 0) {
    return bench.kernel.handle_page_fault(bench.cpu(cpu), mm, bench.page(index), access);
}

/// Swaps all pages of node 0 out.
void swap_out(KernelBench& bench) {
    ReclaimControl control;
    bench.kernel.reclaim_pages(bench.cpu(), control);
    bench.trace().clear();
}

}  // namespace

TEST_CASE("fault: the first write gives a private page on the CPU's node", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = empty_mm(bench, 2);
    CHECK(fault(bench, mm, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(fault(bench, mm, 1, Access::kWrite, 1) == FaultResult::kHandled);
    const Pte pte = bench.pte(mm, 0);
    CHECK(pte.writable());
    CHECK(pte.dirty());
    CHECK(pte.young());
    CHECK((pte.raw() & Pte::kNoExecute));
    Page& page = bench.mapped_page(mm, 0);
    CHECK(page.nid() == 0);
    CHECK(bench.mapped_page(mm, 1).nid() == 1);
    CHECK(page.refcount(bench.cpu()) == 2);  // of the mapping, and on the way to the LRU list
    bench.drain();
    CHECK(page.refcount(bench.cpu()) == 1);
    CHECK(page.mapcount(bench.cpu()) == 1);
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.test(bench.cpu(), PageFlag::kSwapBacked));
    CHECK(page.index == page_of(bench.page(0)).value);
    CHECK(bench.kernel.read_pte(bench.cpu(), mm, bench.page(0))->generation == page.generation);
}

TEST_CASE("fault: reading untouched memory maps the zero page until it is written",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = empty_mm(bench, 1);
    bench.watch(mm);
    REQUIRE(fault(bench, mm, 0, Access::kRead) == FaultResult::kHandled);
    CHECK(bench.pte(mm, 0).frame() == bench.kernel.state().zero_page);
    CHECK_FALSE(bench.pte(mm, 0).writable());
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 0);
    bench.trace().clear();
    REQUIRE(fault(bench, mm, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.pte(mm, 0).frame() != bench.kernel.state().zero_page);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 1);
    // 5.0.1/n_kvm_dontneed_n4_run; rule N18
    CHECK(bench.order({Event::kWpPageCopy, Event::kMnStart, Event::kPtepClearFlush,
                       Event::kPtepClearFlushRet, Event::kMnInvalidateRange, Event::kMnChangePte,
                       Event::kPteSet, Event::kMnEnd}) ==
          "wp_page_copy mn_range_start ptep_clear_flush ptep_clear_flush_ret mn_range "
          "mn_change_pte pte_set mn_range_end");
    const auto told = bench.trace().find(Event::kMnChangePte).at(0);
    CHECK(mmusim::test::RecordingTrace::argument(told, "addr") == bench.page(0).value);
    CHECK(mmusim::test::RecordingTrace::argument(told, "pte") == bench.pte(mm, 0).raw());
}

TEST_CASE("fault: an entry for the zero page is special and stays so", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = empty_mm(bench, 2);
    REQUIRE(fault(bench, mm, 0, Access::kRead) == FaultResult::kHandled);
    REQUIRE(fault(bench, mm, 1, Access::kWrite) == FaultResult::kHandled);
    // Capture n_kvm_dontneed_n4_run of a 5.0.1 kernel.
    constexpr std::uint64_t kCaptured = 0x8000000000000225;
    CHECK((bench.pte(mm, 0).raw() & ~Pte::kFrameMask) == kCaptured);
    CHECK_FALSE(bench.pte(mm, 1).special());
    for (const std::uint64_t prot : {std::uint64_t{0}, VmFlags::kRead, VmFlags::kWrite}) {
        bench.kernel.mprotect(bench.cpu(), mm, bench.range(2), prot);
        CHECK(bench.pte(mm, 0).special());
        CHECK(bench.pte(mm, 0).frame() == bench.kernel.state().zero_page);
    }
    Mm& child = bench.kernel.fork(bench.cpu(), mm, "child");
    REQUIRE(fault(bench, mm, 1, Access::kWrite) == FaultResult::kHandled);
    REQUIRE(fault(bench, mm, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK_FALSE(bench.pte(mm, 0).special());
    CHECK(child.mmap.size() == 1);
}

TEST_CASE("fault: addresses and accesses that no mapping allows are refused", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    MmapRequest read_only;
    read_only.range = bench.range(1);
    read_only.vm_flags = VmFlags::kRead;
    mmap_region(bench.cpu(), bench.kernel.state(), mm, read_only);
    CHECK(fault(bench, mm, 0, Access::kWrite) == FaultResult::kBadAccess);
    CHECK(fault(bench, mm, 1, Access::kRead) == FaultResult::kBadArea);
    CHECK(bench.machine.account(0).finished().size() == 2);
    CHECK_FALSE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
}

TEST_CASE("fault: writing to a forked page copies it with the canonical order", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {0});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    bench.watch(child);
    Page& shared = bench.mapped_page(parent, 0);
    CHECK(shared.mapcount(bench.cpu()) == 2);
    CHECK_FALSE(bench.pte(parent, 0).writable());
    bench.trace().clear();
    REQUIRE(fault(bench, child, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.canonical(Event::kPageFault, Event::kPageFaultRet)
              .find("MN.START, PTL+, PTE.CLR, FL1, MN.INV, PTE.SET(new), RMAP-, PUT, PTL-, "
                    "MN.OEND, PUT") != std::string::npos);
    CHECK(shared.mapcount(bench.cpu()) == 1);
    CHECK(shared.refcount(bench.cpu()) == 1);
    CHECK(bench.pte(child, 0).frame() != shared.pfn());

    // The parent is alone now and writes in place.
    bench.trace().clear();
    REQUIRE(fault(bench, parent, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.pte(parent, 0).frame() == shared.pfn());
    CHECK(bench.pte(parent, 0).writable());
    CHECK(bench.trace().count(Event::kPtepClearFlush) == 0);
}

TEST_CASE("fault: an entry that allows the access already is left as it is", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0}, {});
    const Pte before = bench.pte(mm, 0);
    CHECK(fault(bench, mm, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.pte(mm, 0) == before);
    CHECK(bench.trace().count(Event::kPteSet) == 0);
}

TEST_CASE("fault: a page comes back from swap without the cache if nobody else needs it",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    swap_out(bench);
    REQUIRE(bench.pte(mm, 0).swap_type());
    const auto used = bench.kernel.state().swap.used();
    REQUIRE(used == 1);
    REQUIRE(fault(bench, mm, 0, Access::kRead) == FaultResult::kHandled);
    const Pte pte = bench.pte(mm, 0);
    CHECK(pte.present());
    CHECK_FALSE(pte.writable());
    CHECK_FALSE(pte.dirty());
    Page& page = bench.mapped_page(mm, 0);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kSwapCache));
    bench.drain();
    // It was on no list yet when it could have been activated.
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.refcount(bench.cpu()) == 1);
    CHECK(bench.kernel.state().swap.used() == 0);
    const MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.rss_anon == 1);
    CHECK(status.vm_swap == 0);
    // The page knows its way back to the VMA.
    Page& again = bench.isolate(mm, 0);
    bench.kernel.arrange(bench.cpu(), mm, bench.range(1), KernelBench::kColdDirty);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), again));
    CHECK(bench.try_to_unmap(again, TtuFlags::kNone));
}

TEST_CASE("fault: a page of several processes comes back through the swap cache", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {1});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    swap_out(bench);
    REQUIRE(bench.pte(parent, 0).swap_type());
    REQUIRE(bench.pte(child, 0) == bench.pte(parent, 0));
    REQUIRE(fault(bench, parent, 0, Access::kRead) == FaultResult::kHandled);
    Page& page = bench.mapped_page(parent, 0);
    CHECK(page.test(bench.cpu(), PageFlag::kSwapCache));
    REQUIRE(fault(bench, child, 0, Access::kRead) == FaultResult::kHandled);
    CHECK(&bench.mapped_page(child, 0) == &page);
    bench.drain();
    CHECK(page.mapcount(bench.cpu()) == 2);
    CHECK(page.refcount(bench.cpu()) == 3);
    // A write makes a copy; the last user then takes the page over and frees its slot.
    REQUIRE(fault(bench, child, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(&bench.mapped_page(child, 0) != &page);
    REQUIRE(fault(bench, parent, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(&bench.mapped_page(parent, 0) == &page);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kSwapCache));
    CHECK(bench.kernel.state().swap.used() == 0);
}

TEST_CASE("fault: a write to a swapped page that others need copies it at once", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {1});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    swap_out(bench);
    REQUIRE(fault(bench, child, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.pte(child, 0).writable());
    CHECK(bench.pte(parent, 0).swap_type());
    CHECK(bench.kernel.status(bench.cpu(), child).rss_anon == 1);
    CHECK(bench.kernel.status(bench.cpu(), child).vm_swap == 0);
}

TEST_CASE("fault: pages of a shared file are found by all who map them", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 2);
    Mm& first = bench.kernel.create_mm(bench.cpu(), "first");
    Mm& second = bench.kernel.create_mm(bench.cpu(), "second");
    bench.kernel.mmap_file(bench.cpu(), first, bench.range(2), file);
    bench.kernel.mmap_file(bench.cpu(), second, bench.range(1), file, 1);
    REQUIRE(fault(bench, first, 1, Access::kRead) == FaultResult::kHandled);
    REQUIRE(fault(bench, second, 0, Access::kRead) == FaultResult::kHandled);
    Page& page = bench.mapped_page(first, 1);
    CHECK(&bench.mapped_page(second, 0) == &page);
    bench.drain();
    CHECK(page.mapcount(bench.cpu()) == 2);
    CHECK(page.refcount(bench.cpu()) == 3);
    CHECK_FALSE(bench.pte(first, 1).writable());
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(bench.kernel.status(bench.cpu(), first).rss_file == 1);

    // The first write is noticed, because the entry was not writable.
    REQUIRE(fault(bench, second, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.pte(second, 0).writable());
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    CHECK(&bench.mapped_page(second, 0) == &page);
}

TEST_CASE("fault: a first access to a shared file that writes dirties the page", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    REQUIRE(fault(bench, mm, 0, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.pte(mm, 0).writable());
    CHECK(bench.pte(mm, 0).dirty());
    CHECK(bench.mapped_page(mm, 0).test(bench.cpu(), PageFlag::kDirty));
    CHECK_FALSE(bench.mapped_page(mm, 0).lock.held_by(bench.cpu()));
}

TEST_CASE("fault: a swapped page goes to the oldest anon_vma unless its reader owns it",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(2, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    for (const std::uint64_t index : {0, 1})
        REQUIRE(fault(bench, child, index, Access::kWrite) == FaultResult::kHandled);
    bench.kernel.arrange(bench.cpu(), child, bench.range(2), KernelBench::kColdDirty);
    bench.run(1, child);
    const AnonVma* own =
        vma_anon_vma(bench.cpu(), bench.kernel.state(), *child.find_vma(bench.page(0)));
    REQUIRE(own->root != own);
    swap_out(bench);
    REQUIRE(fault(bench, child, 0, Access::kRead) == FaultResult::kHandled);
    REQUIRE(fault(bench, child, 1, Access::kWrite) == FaultResult::kHandled);
    CHECK(bench.mapped_page(child, 0).mapping(bench.cpu()).object() == own->root->line);
    CHECK(bench.mapped_page(child, 1).mapping(bench.cpu()).object() == own->line);
}

TEST_CASE("fault: writing to a private file mapping makes an anonymous copy", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 2);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(2), file, 0, Kernel::Sharing::kPrivate);
    // One is read first, one is written at once.
    REQUIRE(fault(bench, mm, 0, Access::kRead) == FaultResult::kHandled);
    REQUIRE(fault(bench, mm, 0, Access::kWrite) == FaultResult::kHandled);
    REQUIRE(fault(bench, mm, 1, Access::kWrite) == FaultResult::kHandled);
    for (const std::uint64_t index : {0, 1}) {
        CHECK(bench.mapped_page(mm, index).mapping(bench.cpu()).anon());
        CHECK(bench.mapped_page(mm, index).index == index);
    }
    const MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.rss_anon == 2);
    CHECK(status.rss_file == 0);
}

TEST_CASE("fault: two CPUs that fault on one page map it once", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = empty_mm(bench, 2);
    REQUIRE(fault(bench, mm, 1, Access::kWrite) == FaultResult::kHandled);
    auto& pages = bench.kernel.state().pages;
    const auto before = pages.nr_free_pages(0) + pages.nr_free_pages(1);
    // CPU 1 is faster after CPU 0 has allocated its page.
    bench.trace().at_next(Event::kPageAlloc, 0, [&] {
        REQUIRE(fault(bench, mm, 0, Access::kWrite, 1) == FaultResult::kHandled);
    });
    REQUIRE(fault(bench, mm, 0, Access::kWrite, 0) == FaultResult::kHandled);
    CHECK(bench.mapped_page(mm, 0).nid() == 1);
    CHECK(bench.mapped_page(mm, 0).mapcount(bench.cpu()) == 1);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 2);
    CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == before - 1);
}

TEST_CASE("fault: two CPUs that need the same tables make them once", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = empty_mm(bench, 1);
    bench.trace().at_next(Event::kPageAlloc, 0, [&] {
        bench.trace().at_next(Event::kPageAlloc, 0, [&] {
            REQUIRE(fault(bench, mm, 0, Access::kWrite, 1) == FaultResult::kHandled);
        });
    });
    REQUIRE(fault(bench, mm, 0, Access::kWrite, 0) == FaultResult::kHandled);
    CHECK(bench.mapped_page(mm, 0).nid() == 1);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 1);
    // Tables and the page of the slower one went back: page tables, one page, and no more.
    auto& pages = bench.kernel.state().pages;
    CHECK(pages.nr_free_pages(0) + pages.nr_free_pages(1) == 2 * 0x4000 - (1 + 3 + 1));
}

TEST_CASE("fault: counters of the running task are folded every 64 faults", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = empty_mm(bench, 100);
    bench.run(0, mm);
    for (std::uint64_t i = 0; i < 65; ++i) fault(bench, mm, i, Access::kWrite);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 0);
    fault(bench, mm, 65, Access::kWrite);
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 65);
    // Whoever unmaps in its own mm folds at once.
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1));
    CHECK(bench.kernel.status(bench.cpu(), mm).rss_anon == 65);
}

TEST_CASE("fault: its operation contains entry and exit and nothing unaccounted", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = empty_mm(bench, 1);
    const Instant begin = bench.cpu().now();
    fault(bench, mm, 0, Access::kWrite);
    const OperationResult result = bench.machine.account(0).finished().back();
    CHECK(result.kind == OperationKind::kPageFault);
    CHECK(result.begin == begin);
    CHECK(result.end == bench.cpu().now());
    CHECK(result.parts.sum() == result.end - result.begin);
    const KernelCosts& costs = bench.machine.costs();
    CHECK(result.parts[Part::kFault] >= costs.fault_entry + costs.fault_handle + costs.fault_exit);
}

TEST_CASE("fault: zeroing takes time, of pages and of page tables", "[unit][rmap]") {
    /// How often the second touch of a machine zeroes 4 KiB.
    const auto zeroed = [](const auto& prepare, std::uint64_t index, Access access) {
        Duration latency[2];
        for (const bool costs : {false, true}) {
            KernelBench bench;
            bench.machine.costs().clear_page = nanoseconds(costs ? 1'000'000 : 0);
            Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
            prepare(bench, mm);
            const Instant begin = bench.cpu().now();
            REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(index), access));
            latency[costs] = bench.cpu().now() - begin;
        }
        return (latency[1] - latency[0]).ps / nanoseconds(1'000'000).ps;
    };
    const auto anon = [](KernelBench& bench, Mm& mm) {
        bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(1024));
        REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    };
    const auto of_file = [](AddressSpace& (Kernel::*create)(std::string, std::uint64_t)) {
        return [create](KernelBench& bench, Mm& mm) {
            AddressSpace& file = (bench.kernel.*create)("file", 2);
            bench.kernel.mmap_file(bench.cpu(), mm, bench.range(2), file);
            REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
        };
    };
    CHECK(zeroed(anon, 1, Access::kWrite) == 1);
    CHECK(zeroed(anon, 1, Access::kRead) == 0);
    CHECK(zeroed(anon, 0, Access::kWrite) == 1);    // a copy of the zero page
    CHECK(zeroed(anon, 512, Access::kWrite) == 2);  // with a page table
    CHECK(zeroed(of_file(&Kernel::create_shmem), 1, Access::kRead) == 1);
    CHECK(zeroed(of_file(&Kernel::create_file), 1, Access::kRead) == 0);
}
