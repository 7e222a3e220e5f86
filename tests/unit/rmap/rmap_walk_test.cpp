// SPDX-License-Identifier: Apache-2.0
#include "rmap/walk/rmap_walk.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

std::vector<MmId> visited(KernelBench& bench, Page& page) {
    std::vector<MmId> mms;
    const auto one = [&](Vma& vma, VirtAddr) {
        mms.push_back(vma.vm_mm->context.id);
        return true;
    };
    rmap_walk(bench.cpu(), bench.kernel.state(), page, {one, nullptr, {}, {}});
    return mms;
}

}  // namespace

TEST_CASE("rmap walk: a page from before fork is searched in all descendants", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(2, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Mm& grandchild = bench.kernel.fork(bench.cpu(), child, "grandchild");
    Mm& second = bench.kernel.fork(bench.cpu(), parent, "second");
    Page& page = bench.mapped_page(parent, 0);
    // Creation order, which is not the order of descent.
    CHECK(visited(bench, page) == std::vector<MmId>{parent.context.id, child.context.id,
                                                    grandchild.context.id, second.context.id});
}

TEST_CASE("rmap walk: a page of a child is not searched in its parent", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(2, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Mm& grandchild = bench.kernel.fork(bench.cpu(), child, "grandchild");
    REQUIRE(bench.kernel.touch(bench.cpu(), child, bench.page(0), Access::kWrite));
    Page& copy = bench.mapped_page(child, 0);
    REQUIRE(&copy != &bench.mapped_page(parent, 0));
    CHECK(visited(bench, copy) == std::vector<MmId>{child.context.id, grandchild.context.id});
}

TEST_CASE("rmap walk: a file is searched in the parent first and then in its youngest child",
          "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 8);
    Mm& parent = bench.kernel.create_mm(bench.cpu(), "parent");
    bench.kernel.mmap_file(bench.cpu(), parent, bench.range(4), file, 2);
    Mm& first = bench.kernel.fork(bench.cpu(), parent, "first");
    Mm& second = bench.kernel.fork(bench.cpu(), parent, "second");
    REQUIRE(bench.kernel.touch(bench.cpu(), parent, bench.page(1), Access::kRead));
    Page& page = bench.mapped_page(parent, 1);
    CHECK(page.index == 3);
    lock_page(bench.cpu(), page);
    CHECK(visited(bench, page) ==
          std::vector<MmId>{parent.context.id, second.context.id, first.context.id});
    unlock_page(bench.cpu(), page);
}

TEST_CASE("rmap walk: a page of a file must be locked", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    Page& page = bench.mapped_page(mm, 0);
    CHECK_THROWS_AS(visited(bench, page), InvariantError);
}

TEST_CASE("rmap walk: invalid VMAs are skipped and done stops", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& first = bench.kernel.fork(bench.cpu(), parent, "first");
    Mm& second = bench.kernel.fork(bench.cpu(), parent, "second");
    bench.kernel.fork(bench.cpu(), parent, "third");
    std::vector<MmId> mms;
    const auto one = [&](Vma& vma, VirtAddr address) {
        CHECK(address == bench.page(0));
        mms.push_back(vma.vm_mm->context.id);
        return true;
    };
    const auto skip_first = [&](const Vma& vma) { return vma.vm_mm == &first; };
    const auto two_seen = [&] { return mms.size() == 2; };
    rmap_walk(bench.cpu(), bench.kernel.state(), bench.mapped_page(parent, 0),
              {one, nullptr, two_seen, skip_first});
    CHECK(mms == std::vector<MmId>{parent.context.id, second.context.id});
}

TEST_CASE("page_lock_anon_vma_read: a page that nothing maps has no anon_vma to lock",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(mm, 0);
    get_page(bench.cpu(), page);
    AnonVma* locked = page_lock_anon_vma_read(bench.cpu(), bench.kernel.state(), page);
    REQUIRE(locked);
    anon_vma_unlock_read(bench.cpu(), *locked);

    bench.kernel.munmap(bench.cpu(), mm, bench.range(1));
    CHECK_FALSE(page_lock_anon_vma_read(bench.cpu(), bench.kernel.state(), page));
}

TEST_CASE("page_lock_anon_vma_read: a waiter that outlives the anon_vma gives up", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(mm, 0);
    get_page(bench.cpu(1), page);
    AnonVma& anon_vma = page_anon_vma(bench.kernel.state(), page.mapping(bench.cpu()));

    // CPU 0 holds the semaphore for writing while CPU 1 comes; what CPU 0 does next runs when
    // CPU 1 has nothing left but to wait.
    anon_vma_lock_write(bench.cpu(), anon_vma);
    bench.machine.time(1).while_waiting = [&] { anon_vma_unlock_write(bench.cpu(), anon_vma); };
    CHECK(page_lock_anon_vma_read(bench.cpu(1), bench.kernel.state(), page) == &anon_vma);
    CHECK(bench.machine.time(1).charged()[Part::kLockWait].ps > 0);
    anon_vma_unlock_read(bench.cpu(1), anon_vma);
    CHECK(bench.machine.memory()[anon_vma.refcount].value == 1);

    // The same, but the last other reference goes before the waiter gets the semaphore.
    anon_vma_lock_write(bench.cpu(), anon_vma);
    anon_vma.rb_root.remove(*mm.find_vma(bench.page(0)), mm.find_vma(bench.page(0))->first_pgoff());
    bench.machine.time(1).while_waiting = [&] {
        put_anon_vma(bench.cpu(), bench.kernel.state(), anon_vma);
        anon_vma_unlock_write(bench.cpu(), anon_vma);
    };
    CHECK_FALSE(page_lock_anon_vma_read(bench.cpu(1), bench.kernel.state(), page));
    CHECK(bench.machine.memory()[anon_vma.refcount].value == 0);
}
