// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/swap_readahead.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/file_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FileBench;
using mmusim::test::KernelBench;

namespace {

using Indexes = std::vector<std::uint64_t>;

/// Pages of two processes, in zram: what only one of them needed would come back alone.
struct SwappedBench : KernelBench {
    explicit SwappedBench(std::uint64_t count, const Config& config = {})
        : KernelBench(config), pages(count), mm(anon_mm(count, {1})) {
        kernel.fork(cpu(), mm, "child");
        kernel.arrange(cpu(), mm, range(count), kColdDirty);
        kernel.reclaim_pages(cpu(), {});
        if (config.swap_device == SwapDevice::kDisk) {  // written by now, and reclaimed
            machine.time(0).spend(machine.costs().disk_write, Part::kUser);
            kernel.reclaim_pages(cpu(), {});
        }
        kernel.state().vm_events.reset();
        trace().clear();
    }

    void fault(std::uint64_t index) {
        REQUIRE(kernel.handle_page_fault(cpu(1), mm, page(index), Access::kRead) ==
                FaultResult::kHandled);
    }
    Page* cached(std::uint64_t index) {
        const std::uint64_t slot = pte(mm, index).offset();
        const auto frame = machine.memory()[kernel.state().swap.cache.slot(slot)].value;
        return frame ? &kernel.state().pages.pfn_to_page({frame}) : nullptr;
    }
    /// Pages that are in memory without being mapped.
    Indexes read_ahead() {
        Indexes indexes;
        for (std::uint64_t i = 0; i < pages; ++i)
            if (pte(mm, i).swap_type() && cached(i)) indexes.push_back(i);
        return indexes;
    }
    std::uint64_t count(VmEvent event) {
        return kernel.state().vm_events.sum(0)[static_cast<std::size_t>(event)];
    }

    const std::uint64_t pages;
    Mm& mm;
};

KernelBench::Config on_disk() {
    KernelBench::Config config;
    config.swap_device = SwapDevice::kDisk;
    return config;
}

}  // namespace

TEST_CASE("swap readahead: a fault reads the pages around its address as well", "[unit][rmap]") {
    SwappedBench bench(32);
    bench.fault(16);
    CHECK(bench.read_ahead() == Indexes{13, 14, 15, 17, 18, 19, 20});
    CHECK(bench.count(VmEvent::kSwapRa) == 7);
    CHECK(bench.count(VmEvent::kPswpIn) == 8);
    for (const std::uint64_t i : {13, 20})
        CHECK(bench.cached(i)->test(bench.cpu(), PageFlag::kReclaim));  // PG_readahead
    CHECK_FALSE(bench.mapped_page(bench.mm, 16).test(bench.cpu(), PageFlag::kReclaim));
}

TEST_CASE("swap readahead: new pages are on their list before the fault maps one", "[unit][rmap]") {
    SwappedBench bench(8);
    bench.fault(4);
    CHECK(bench.cached(3)->test(bench.cpu(), PageFlag::kLru));
    // So the one that is mapped can be activated, and stays in that pagevec for a while: with
    // the cache's, the mapping's, and one of the pagevec.
    Page& page = bench.mapped_page(bench.mm, 4);
    CHECK(page.refcount(bench.cpu()) == 3);
    bench.drain();
    CHECK(page.test(bench.cpu(), PageFlag::kActive));
    CHECK(page.refcount(bench.cpu()) == 2);
}

TEST_CASE("swap readahead: it stays inside the VMA and its page table", "[unit][rmap]") {
    SwappedBench bench(520);
    bench.fault(1);
    CHECK(bench.read_ahead() == Indexes{0, 2, 3, 4, 5});
    bench.fault(0);  // was read ahead: the next window is of four pages at least
    bench.fault(510);
    CHECK(bench.read_ahead() == Indexes{2, 3, 4, 5, 509, 511});
}

TEST_CASE("swap readahead: pages that are used keep the window, unused ones halve it",
          "[unit][rmap]") {
    SwappedBench bench(512);
    bench.fault(100);
    CHECK(bench.read_ahead().size() == 7);
    const auto more = [&](std::uint64_t index) {
        const std::uint64_t before = bench.count(VmEvent::kSwapRa);
        bench.fault(index);
        return bench.count(VmEvent::kSwapRa) - before;
    };
    CHECK(more(200) == 3);
    CHECK(more(201) == 0);  // a hit
    CHECK(bench.count(VmEvent::kSwapRaHit) == 1);
    CHECK(more(300) == 3);
    CHECK(more(350) == 1);
    CHECK(more(400) == 0);
}

TEST_CASE("swap readahead: behind or in front of the last fault it goes on in that direction",
          "[unit][rmap]") {
    SwappedBench forwards(32);
    forwards.fault(8);
    for (const std::uint64_t i : {5, 6, 7, 9, 10, 11, 12}) forwards.fault(i);
    CHECK(forwards.read_ahead().empty());
    forwards.fault(13);
    CHECK(forwards.read_ahead() == Indexes{14, 15, 16, 17, 18, 19, 20});

    SwappedBench backwards(32);
    backwards.fault(20);
    for (const std::uint64_t i : {24, 23, 22, 21, 19, 18, 17}) backwards.fault(i);
    backwards.fault(16);
    CHECK(backwards.read_ahead() == Indexes{9, 10, 11, 12, 13, 14, 15});
}

TEST_CASE("swap readahead: a disk reads an aligned group of slots, whosever they are",
          "[unit][rmap]") {
    SwappedBench bench(32, on_disk());
    REQUIRE(bench.pte(bench.mm, 0).swap_type());
    const std::uint64_t slot = 12;
    Indexes expected;
    for (std::uint64_t i = 0; i < 32; ++i) {
        const std::uint64_t other = bench.pte(bench.mm, i).offset();
        // Slot 0 of the device is its header, so these are 8 to 15 of its own numbers.
        if (other >= 7 && other <= 14 && other != slot) expected.push_back(i);
    }
    REQUIRE(expected.size() == 7);
    for (std::uint64_t i = 0; i < 32; ++i)
        if (bench.pte(bench.mm, i).swap_type() && bench.pte(bench.mm, i).offset() == slot)
            bench.fault(i);
    CHECK(bench.read_ahead() == expected);
    CHECK(bench.count(VmEvent::kSwapRa) == 7);
}

TEST_CASE("swap readahead: a disk does not begin with its header and ends with its last slot",
          "[unit][rmap]") {
    KernelBench::Config config = on_disk();
    config.swap_slots = 12;
    KernelBench bench(config);
    KernelState& kernel = bench.kernel.state();
    for (unsigned i = 0; i < 12; ++i) {
        const SwapEntry entry = *kernel.swap.get_swap_page(bench.cpu());
        REQUIRE(kernel.swap.swap_duplicate(bench.cpu(), entry));
        kernel.swap.put_swap_page(bench.cpu(), entry);
    }
    const auto cached = [&] {
        Indexes slots;
        for (std::uint64_t i = 0; i < 12; ++i)
            if (bench.machine.memory()[kernel.swap.cache.slot(i)].value) slots.push_back(i);
        return slots;
    };
    REQUIRE(swap_cluster_readahead(bench.cpu(), kernel, {0, 0}, 0));
    CHECK(cached() == Indexes{0, 1, 2, 3, 4, 5, 6});
    for (const std::uint64_t i : {1, 2, 3, 4})  // as they are used, the next group is as large
        REQUIRE(lookup_swap_cache(bench.cpu(), kernel, SwapEntry{0, i}));
    REQUIRE(swap_cluster_readahead(bench.cpu(), kernel, {0, 10}, 0));
    CHECK(cached() == Indexes{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("swap readahead: a disk is asked once for the slots of a group", "[unit][rmap]") {
    SwappedBench bench(8, on_disk());
    auto& costs = bench.machine.costs();
    costs.file_read = nanoseconds(1'000'000'000);
    costs.submit_bio = nanoseconds(1'000'000);  // both more than all else in a fault
    const PartTimes before = bench.machine.time(1).charged();
    bench.fault(3);
    const PartTimes spent = bench.machine.time(1).charged() - before;
    Duration reads = costs.file_read;
    for (std::uint64_t i = 1; i < bench.count(VmEvent::kPswpIn); ++i)
        reads = reads + costs.submit_bio;
    CHECK(reads > costs.file_read);
    CHECK(spent[Part::kFault] >= reads);
    CHECK(spent[Part::kFault] < reads + costs.submit_bio);
}

TEST_CASE("swap readahead: pages of shmem come with the slots around theirs", "[unit][rmap]") {
    FileBench bench(FileKind::kShmem, 10, {1});
    ReclaimControl control;
    control.aging = Aging::kForbidden;
    bench.kernel.reclaim_pages(bench.cpu(), control);
    REQUIRE(bench.kernel.touch(bench.cpu(1), *bench.mms[0], bench.page(0), Access::kRead));
    const auto& swap = bench.kernel.state().swap;
    unsigned cached = 0;
    for (std::uint64_t i = 0; i < 10; ++i)
        cached += bench.machine.memory()[swap.cache.slot(i)].value != 0;
    CHECK(cached == 6);  // 0 to 6, and the one that has returned to the file
}

TEST_CASE("swap readahead: a slot that nobody refers to is not read", "[unit][rmap]") {
    KernelBench bench;
    KernelState& kernel = bench.kernel.state();
    const SwapEntry entry = *kernel.swap.get_swap_page(bench.cpu());
    // Only the cache still has it: whoever looks does not wait for its page to appear.
    CHECK_FALSE(read_swap_cache(bench.cpu(), kernel, entry, 0).page);
    kernel.swap.put_swap_page(bench.cpu(), entry);
    CHECK_FALSE(read_swap_cache(bench.cpu(), kernel, entry, 0).page);
    CHECK(bench.trace().find(Event::kPageAlloc).empty());
}
