// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/mmap.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

struct Bench : KernelBench {
    Mm& mm = kernel.create_mm(cpu(), "mm");

    void map(std::uint64_t first, std::uint64_t pages) {
        kernel.mmap_anon(cpu(), mm, range(pages, first));
    }
    void touch(std::uint64_t index) {
        REQUIRE(kernel.touch(cpu(), mm, page(index), Access::kWrite));
    }
    AnonVma* anon_vma(std::uint64_t index) {
        return vma_anon_vma(cpu(), kernel.state(), *mm.find_vma(page(index)));
    }
};

}  // namespace

TEST_CASE("mmap: what continues a mapping becomes part of it", "[unit][rmap]") {
    Bench bench;
    bench.map(0, 2);
    bench.map(2, 2);  // case 2
    CHECK(bench.mm.mmap.size() == 1);
    bench.map(6, 2);
    CHECK(bench.mm.mmap.size() == 2);
    bench.map(5, 1);  // case 3
    CHECK(bench.mm.mmap.size() == 2);
    CHECK(bench.mm.find_vma(bench.page(5))->range() == bench.range(3, 5));
    bench.touch(6);
    bench.map(4, 1);  // case 1
    REQUIRE(bench.mm.mmap.size() == 1);
    CHECK(bench.mm.find_vma(bench.page(0))->range() == bench.range(8));
    CHECK(bench.mm.total_vm == 8);
    // The anon_vma of the part that had one is that of the whole.
    CHECK(bench.anon_vma(0));
    CHECK(bench.anon_vma(0)->rb_root.size() == 1);
}

TEST_CASE("mmap: mappings whose pages belong to different anon_vmas stay apart", "[unit][rmap]") {
    Bench bench;
    bench.map(0, 1);
    bench.touch(0);
    bench.map(2, 1);
    bench.touch(2);
    bench.map(1, 1);
    CHECK(bench.mm.mmap.size() == 2);
}

TEST_CASE("mmap: a mapping that came from fork is not extended", "[unit][rmap]") {
    Bench bench;
    bench.map(0, 1);
    bench.touch(0);
    Mm& child = bench.kernel.fork(bench.cpu(), bench.mm, "child");
    bench.kernel.mmap_anon(bench.cpu(), child, bench.range(1, 1));
    CHECK(child.mmap.size() == 2);
    bench.map(1, 1);
    CHECK(bench.mm.mmap.size() == 1);
}

TEST_CASE("mmap: other flags, another file or another place in it stay apart", "[unit][rmap]") {
    Bench bench;
    auto& file = bench.kernel.create_file("file", 8);
    bench.map(0, 1);
    bench.kernel.mmap_anon(bench.cpu(), bench.mm, bench.range(1, 1), VmFlags::kExec);
    bench.kernel.mmap_file(bench.cpu(), bench.mm, bench.range(1, 2), file, 0);
    bench.kernel.mmap_file(bench.cpu(), bench.mm, bench.range(1, 3), file, 2);
    CHECK(bench.mm.mmap.size() == 4);
    bench.kernel.mmap_file(bench.cpu(), bench.mm, bench.range(1, 4), file, 3);
    CHECK(bench.mm.mmap.size() == 4);
    CHECK(file.i_mmap.size() == 2);
}

TEST_CASE("mmap: what is mapped there is unmapped first", "[unit][rmap]") {
    Bench bench;
    bench.map(0, 4);
    bench.touch(1);
    bench.touch(3);
    bench.kernel.mmap_anon(bench.cpu(), bench.mm, bench.range(2, 1), VmFlags::kExec);
    CHECK(bench.mm.mmap.size() == 3);
    CHECK(bench.pte(bench.mm, 1).none());
    CHECK(bench.pte(bench.mm, 3).present());
    CHECK(bench.mm.total_vm == 4);
}

TEST_CASE("mmap: words of VMAs that are gone are used again", "[unit][rmap]") {
    Bench bench;
    bench.map(0, 4);
    bench.touch(0);
    for (unsigned round = 0; round < 5000; ++round) {
        bench.kernel.mprotect(bench.cpu(), bench.mm, bench.range(1, 1), VmFlags::kRead);
        bench.kernel.mprotect(bench.cpu(), bench.mm, bench.range(1, 1),
                              VmFlags::kRead | VmFlags::kWrite);
    }
    CHECK(bench.mm.mmap.size() == 1);
}

TEST_CASE("mmap: what is mapped locked counts as such and is faulted in without the write lock",
          "[unit][rmap]") {
    Bench bench;
    bench.run(0, bench.mm);
    bench.trace().clear();
    bench.kernel.mmap_anon(bench.cpu(), bench.mm, bench.range(3), VmFlags::kLocked);
    CHECK(bench.order({Event::kMmapSemLock, Event::kMmapSemUnlock, Event::kHandleMmFault,
                       Event::kMlockPage}) ==
          "mmap_sem_lock mmap_sem_unlock mmap_sem_lock "
          "handle_mm_fault mlock_page handle_mm_fault mlock_page handle_mm_fault mlock_page "
          "mmap_sem_unlock");
    CHECK(bench.values(Event::kMmapSemUnlock, "write") == std::vector<std::uint64_t>{1, 0});
    CHECK(bench.pte(bench.mm, 2).writable());
    CHECK(bench.kernel.status(bench.cpu(), bench.mm).vm_lck == 3);
    bench.kernel.munmap(bench.cpu(), bench.mm, bench.range(2));
    CHECK(bench.kernel.status(bench.cpu(), bench.mm).vm_lck == 1);
}

TEST_CASE("mmap: an empty range and one that does not begin with a page are refused",
          "[unit][rmap]") {
    Bench bench;
    const auto map = [&](VirtAddr start, VirtAddr end) {
        MmapRequest request;
        request.range = {start, end};
        return bench.kernel.mmap(bench.cpu(), bench.mm, request);
    };
    CHECK(map(bench.page(1), bench.page(1)) == Errno::kInvalid);
    CHECK(map(bench.page(1) + 8, bench.page(3)) == Errno::kInvalid);
    CHECK(bench.mm.mmap.empty());
    CHECK(map(bench.page(1), bench.page(2) + 8) == Errno::kNone);
    CHECK(bench.mm.find_vma(bench.page(2))->range() == bench.range(2, 1));
}

TEST_CASE("mmap: what is mapped behind the end of a file is a bus error", "[unit][rmap]") {
    Bench bench;
    const bool shmem = GENERATE(false, true);
    AddressSpace& file =
        shmem ? bench.kernel.create_shmem("file", 2) : bench.kernel.create_file("file", 2);
    bench.kernel.mmap_file(bench.cpu(), bench.mm, bench.range(3), file, 1);
    REQUIRE(bench.kernel.mremap(bench.cpu(), bench.mm, {bench.range(3), 4, {}}) == Errno::kNone);
    for (const Access access : {Access::kRead, Access::kWrite}) {
        CHECK(bench.kernel.touch(bench.cpu(), bench.mm, bench.page(0), access));
        for (const std::uint64_t index : {1, 3})
            CHECK(bench.kernel.handle_page_fault(bench.cpu(), bench.mm, bench.page(index),
                                                 access) == FaultResult::kSigbus);
    }
    CHECK(bench.kernel.msync(bench.cpu(), bench.mm, bench.range(4)) == Errno::kNone);
    CHECK(bench.kernel.madvise(bench.cpu(), bench.mm, bench.range(4), Madvise::kRemove).error ==
          Errno::kNone);
    CHECK(bench.pte(bench.mm, 0).none());
}

TEST_CASE("fork: any CPU may make processes at run time", "[unit][rmap]") {
    Bench bench;
    bench.map(0, 2);
    bench.touch(0);
    Mm& child = bench.kernel.fork(bench.cpu(1), bench.mm, "child");
    Mm& grandchild = bench.kernel.fork(bench.cpu(0), child, "grandchild");
    CHECK(bench.mm.context.id < child.context.id);
    CHECK(child.context.id < grandchild.context.id);
    CHECK(bench.kernel.touch(bench.cpu(1), grandchild, bench.page(0), Access::kWrite));
    CHECK(bench.mapped_page(child, 0).mapcount(bench.cpu()) == 2);
    CHECK(bench.machine.account(1).finished().back().kind == OperationKind::kPageFault);
    CHECK(bench.kernel.exit(bench.cpu(1), child) == 1);
}

TEST_CASE("fork: a table is copied under the locks of both", "[unit][rmap]") {
    Bench bench;
    bench.map(0, 3);
    for (const std::uint64_t index : {0, 2}) bench.touch(index);
    bench.trace().clear();
    bench.kernel.fork(bench.cpu(), bench.mm, "child");
    CHECK(bench.order({Event::kMmapSemLock, Event::kPtlLock, Event::kPteSet, Event::kPtlUnlock,
                       Event::kMmCounter, Event::kFlushTlbMmRange, Event::kMmapSemUnlock}) ==
          "mmap_sem_lock mmap_sem_lock ptl_lock ptl_lock pte_set pte_set pte_set pte_set "
          "ptl_unlock mm_counter ptl_unlock mmap_sem_unlock flush_tlb_mm_range mmap_sem_unlock");
}

TEST_CASE("parts: every call on a range charges its walk of the page tables to the same one",
          "[unit][rmap]") {
    Bench bench;
    bench.map(0, 4);
    for (std::uint64_t index = 0; index < 4; ++index) bench.touch(index);
    auto& kernel = bench.kernel;
    kernel.mprotect(bench.cpu(), bench.mm, bench.range(4), VmFlags::kRead);
    kernel.mlock(bench.cpu(), bench.mm, bench.range(4), MlockFlags::kOnFault);
    kernel.munlock(bench.cpu(), bench.mm, bench.range(4));
    kernel.fork(bench.cpu(), bench.mm, "child");
    kernel.madvise(bench.cpu(), bench.mm, bench.range(1), Madvise::kDontneed);
    kernel.madvise(bench.cpu(), bench.mm, bench.range(1), Madvise::kFree);
    kernel.mremap(bench.cpu(), bench.mm, {bench.range(4), 4, bench.page(1024)});
    kernel.munmap(bench.cpu(), bench.mm, bench.range(4, 1024));
    unsigned calls = 0;
    for (const auto& call : bench.machine.account(0).finished()) {
        if (call.kind == OperationKind::kPageFault || call.kind == OperationKind::kMmap ||
            call.kind == OperationKind::kMlock)
            continue;
        INFO(name(call.kind));
        CHECK(call.parts[Part::kPageWalk].ps > 0);
        CHECK(call.parts[Part::kRmapWalk].ps == 0);
        CHECK(call.parts[Part::kFault].ps == 0);
        ++calls;
    }
    CHECK(calls == 7);
}
