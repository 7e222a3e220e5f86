// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mm_status.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "tests/unit/rmap/file_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FileBench;
using mmusim::test::KernelBench;

namespace {

Vma& map(KernelBench& bench, Mm& mm, VirtRange range, std::uint64_t vm_flags,
         AddressSpace* file = nullptr) {
    MmapRequest request;
    request.range = range;
    request.vm_flags = vm_flags;
    request.file = file;
    REQUIRE(bench.kernel.mmap(bench.cpu(), mm, request) == Errno::kNone);
    return *mm.find_vma(range.start);
}

}  // namespace

TEST_CASE("status: the lines and their order are those of v5.0", "[unit][rmap]") {
    MmStatus status;
    status.vm_peak = 1692;
    status.vm_swap = 7;
    std::string lines;
    status.visit([&](const std::string& name, std::uint64_t pages) {
        lines += name + (pages > 0 ? "=" + std::to_string(pages) + " " : " ");
    });
    CHECK(lines ==
          "VmPeak=1692 VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe "
          "VmLib VmPTE VmSwap=7 HugetlbPages ");
}

TEST_CASE("status: sizes are counted by what the mappings are for", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 64);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    constexpr std::uint64_t kMay = VmFlags::kMayRead | VmFlags::kMayWrite | VmFlags::kMayExec;
    map(bench, mm, bench.range(1, 0), kMay | VmFlags::kRead | VmFlags::kWrite);
    map(bench, mm, bench.range(2, 10), kMay | VmFlags::kRead | VmFlags::kExec, &file);
    map(bench, mm, bench.range(4, 20),
        kMay | VmFlags::kRead | VmFlags::kWrite | VmFlags::kGrowsDown);
    map(bench, mm, bench.range(8, 30), kMay | VmFlags::kRead | VmFlags::kWrite | VmFlags::kShared,
        &file);
    map(bench, mm, bench.range(16, 50), kMay | VmFlags::kRead);
    MmStatus status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.vm_size == 31);
    CHECK(status.vm_data == 1);
    CHECK(status.vm_lib == 2);
    CHECK(status.vm_stk == 4);
    CHECK(status.vm_exe == 0);

    mm.start_code = bench.page(10);
    mm.end_code = bench.page(11);
    status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.vm_exe == 1);
    CHECK(status.vm_lib == 1);

    bench.kernel.mprotect(bench.cpu(), mm, bench.range(4, 50), VmFlags::kRead | VmFlags::kWrite);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_data == 5);
    Mm& child = bench.kernel.fork(bench.cpu(), mm, "child");
    bench.kernel.munmap(bench.cpu(), mm, bench.range(100));
    status = bench.kernel.status(bench.cpu(), mm);
    CHECK(status.vm_size == 0);
    CHECK(status.vm_peak == 31);
    CHECK(status.vm_data + status.vm_lib + status.vm_exe + status.vm_stk == 0);
    CHECK(bench.kernel.status(bench.cpu(), child).vm_peak == 31);
    CHECK(bench.kernel.status(bench.cpu(), child).vm_data == 5);
}

TEST_CASE("status: page tables are counted while they are there", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(513));
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_pte == 0);
    bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_pte == 3);
    bench.kernel.touch(bench.cpu(), mm, bench.page(512), Access::kWrite);
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_pte == 4);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1, 512));
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_pte == 3);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(512));
    CHECK(bench.kernel.status(bench.cpu(), mm).vm_pte == 0);
}

TEST_CASE("X4: each operation changes the counters of an mm as section 15 says", "[unit][rmap]") {
    struct Step {
        const char* name;
        std::function<void(KernelBench&, Mm&)> run;
        std::int64_t anon, swap, size;
    };
    const Step steps[] = {
        {"mprotect",
         [](KernelBench& b, Mm& mm) { b.kernel.mprotect(b.cpu(), mm, b.range(4), VmFlags::kRead); },
         0, 0, 0},
        {"PROT_NONE", [](KernelBench& b, Mm& mm) { b.kernel.mprotect(b.cpu(), mm, b.range(4), 0); },
         0, 0, 0},
        {"mremap",
         [](KernelBench& b, Mm& mm) {
             b.kernel.mremap(b.cpu(), mm, {b.range(4), 4, b.page(1000)});
         },
         0, 0, 0},
        {"mremap to less",
         [](KernelBench& b, Mm& mm) {
             b.kernel.mremap(b.cpu(), mm, {b.range(8), 4, b.page(1000)});
         },
         0, -4, -4},
        {"MADV_DONTNEED",
         [](KernelBench& b, Mm& mm) {
             b.kernel.madvise(b.cpu(), mm, b.range(6), Madvise::kDontneed);
         },
         -4, -2, 0},
        {"MADV_FREE",
         [](KernelBench& b, Mm& mm) { b.kernel.madvise(b.cpu(), mm, b.range(6), Madvise::kFree); },
         0, -2, 0},
        {"clear_refs",
         [](KernelBench& b, Mm& mm) { b.kernel.clear_refs(b.cpu(), mm, ClearRefs::kAll); }, 0, 0,
         0},
        {"fork", [](KernelBench& b, Mm& mm) { b.kernel.fork(b.cpu(), mm, "child"); }, 0, 0, 0},
        {"mmap over it",
         [](KernelBench& b, Mm& mm) { b.kernel.mmap_anon(b.cpu(), mm, b.range(1)); }, -1, 0, 0},
        {"munmap", [](KernelBench& b, Mm& mm) { b.kernel.munmap(b.cpu(), mm, b.range(5)); }, -4, -1,
         -5},
        {"exit", [](KernelBench& b, Mm& mm) { b.kernel.exit(b.cpu(), mm); }, -4, -4, -8},
    };
    for (const Step& step : steps) {
        CAPTURE(step.name);
        KernelBench bench;
        // Pages 4 to 7 are in swap.
        Mm& mm = bench.anon_mm(8, {1});
        bench.kernel.arrange(
            bench.cpu(), mm, bench.range(4),
            {Access::kWrite, AccessedBits::kYoung, DirtyBits::kAsFaulted, LruPlacement::kActive});
        ReclaimControl control;
        control.nr_to_reclaim = 4;
        bench.kernel.reclaim_pages(bench.cpu(), control);
        const MmStatus before = bench.kernel.status(bench.cpu(), mm);
        REQUIRE(before.rss_anon == 4);
        REQUIRE(before.vm_swap == 4);
        REQUIRE(bench.pte(mm, 4).swap_type());
        step.run(bench, mm);
        const MmStatus after = bench.kernel.status(bench.cpu(), mm);
        CHECK(static_cast<std::int64_t>(after.rss_anon - before.rss_anon) == step.anon);
        CHECK(static_cast<std::int64_t>(after.vm_swap - before.vm_swap) == step.swap);
        CHECK(static_cast<std::int64_t>(after.vm_size - before.vm_size) == step.size);
        CHECK(after.rss_file == 0);
        CHECK(after.rss_shmem == 0);
    }
}

TEST_CASE("status: a page that goes to swap and back is counted at every step", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    bench.kernel.state().vm_events.reset();
    bench.kernel.reclaim_pages(bench.cpu(), {});
    bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead);
    const VmEventCounts counts = bench.kernel.vm_events(0);
    const auto count = [&](VmEvent event) { return counts[static_cast<std::size_t>(event)]; };
    CHECK(count(VmEvent::kPgScan) == 2);
    CHECK(count(VmEvent::kPgSteal) == 2);
    CHECK(count(VmEvent::kPswpOut) == 2);
    CHECK(count(VmEvent::kPgFault) == 1);
    CHECK(count(VmEvent::kPgMajFault) == 1);
    CHECK(count(VmEvent::kPswpIn) == 1);
}

TEST_CASE("status: faults are counted for the group of their process", "[unit][rmap]") {
    KernelBench::Config config;
    config.memcgs = 2;
    KernelBench bench(config);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm", 1);
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2));
    bench.kernel.touch(bench.cpu(0), mm, bench.page(0), Access::kWrite);
    bench.kernel.touch(bench.cpu(1), mm, bench.page(1), Access::kWrite);
    constexpr auto kFaults = static_cast<std::size_t>(VmEvent::kPgFault);
    CHECK(bench.kernel.vm_events(1)[kFaults] == 2);
    CHECK(bench.kernel.vm_events(0)[kFaults] == 0);
}

namespace {

std::uint64_t counted(KernelBench& bench, VmEvent event) {
    return bench.kernel.vm_events(0)[static_cast<std::size_t>(event)];
}

}  // namespace

TEST_CASE("vm events: a fault is a major one if the swap cache does not have its page",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {1});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    bench.kernel.arrange(bench.cpu(), parent, bench.range(1), KernelBench::kColdDirty);
    bench.kernel.reclaim_pages(bench.cpu(), {});
    REQUIRE(bench.pte(parent, 0).swap_type());
    bench.kernel.state().vm_events.reset();
    for (Mm* mm : {&parent, &child}) {
        CHECK(bench.kernel.touch(bench.cpu(), *mm, bench.page(0), Access::kRead));
        CHECK(counted(bench, VmEvent::kPgMajFault) == 1);
    }
    CHECK(counted(bench, VmEvent::kPgFault) == 2);

    FileBench shmem(FileKind::kShmem, 1, {1});
    ReclaimControl control;
    control.aging = Aging::kForbidden;
    shmem.kernel.reclaim_pages(shmem.cpu(), control);
    shmem.kernel.state().vm_events.reset();
    CHECK(shmem.kernel.touch(shmem.cpu(), *shmem.mms[0], shmem.page(0), Access::kRead));
    CHECK(counted(shmem, VmEvent::kPswpIn) == 1);
    CHECK(counted(shmem, VmEvent::kPgMajFault) == 1);
}

TEST_CASE("vm events: an access that no mapping allows is no fault that counts", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    map(bench, mm, bench.range(1), VmFlags::kRead);
    bench.kernel.state().vm_events.reset();
    for (const std::uint64_t index : {0, 1})
        CHECK_FALSE(bench.kernel.touch(bench.cpu(), mm, bench.page(index), Access::kWrite));
    CHECK(counted(bench, VmEvent::kPgFault) == 0);
    CHECK(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    CHECK(counted(bench, VmEvent::kPgFault) == 1);
}
