// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/gup.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <utility>

#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;
using mmusim::test::PlainWords;

namespace {

/// An mm with `pages` private pages, written and not young, that runs on CPU 0.
Mm& running_mm(KernelBench& bench, std::uint64_t pages) { return bench.anon_mm(pages, {0}); }

std::optional<UserPage> get(KernelBench& bench, const Mm& mm, std::uint64_t index, Access access) {
    return bench.kernel.get_user_page(bench.cpu(), mm.context.id, bench.page(index) + 0x10, access);
}

std::size_t accesses(KernelBench& bench, PhysAddr word) {
    std::size_t count = 0;
    for (const auto& access : bench.machine.memory().accesses)
        if (access.address == word) ++count;
    return count;
}

bool referenced(KernelBench& bench, Page& page) {
    return page.test(bench.cpu(), PageFlag::kReferenced);
}
bool active(KernelBench& bench, Page& page) { return page.test(bench.cpu(), PageFlag::kActive); }

/// Memory behind which a test does something right after the first locked instruction.
class HookedMemory final : public PhysMemPort {
public:
    explicit HookedMemory(PhysMemPort& memory) : memory_(memory) {}
    Word load(PhysAddr address, Part part) override { return memory_.load(address, part); }
    Word read_modify_write(PhysAddr address, Apply apply, Part part) override {
        const Word old = memory_.read_modify_write(address, apply, part);
        if (after) std::exchange(after, {})();
        return old;
    }

    std::function<void()> after;

private:
    PhysMemPort& memory_;
};

/// CPU 0 once more, with hooked memory.
struct HookedCpu {
    explicit HookedCpu(KernelBench& bench)
        : memory(bench.cpu().memory()),
          trace(bench.trace(), bench.machine.time(0), bench.machine.account(0)),
          cpu(0,
              {bench.machine.time(0), memory, bench.machine.tlb(0), bench.machine.interrupts(0),
               trace, bench.machine.account(0)},
              bench.machine.costs()) {
        cpu.current = bench.cpu().current;
    }

    HookedMemory memory;
    mmusim::test::TraceOf trace;
    Cpu cpu;
};

}  // namespace

TEST_CASE("gup: a writable entry is taken without any lock and without a trace in it",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    Page& page = bench.mapped_page(mm, 0);
    const Pte before = bench.pte(mm, 0);
    REQUIRE_FALSE(before.young());
    bench.machine.memory().accesses.clear();
    const auto found = get(bench, mm, 0, Access::kRead);
    REQUIRE(found);
    CHECK(found->frame == page.pfn());
    CHECK(found->generation == page.generation);
    CHECK(found->writable);
    CHECK(page.refcount(bench.cpu()) == 2);
    CHECK(referenced(bench, page));
    CHECK(bench.pte(mm, 0) == before);
    CHECK(accesses(bench, mm.mmap_sem.word()) == 0);
    CHECK(bench.trace().records().empty());
    bench.kernel.put_page(bench.cpu(), found->frame);
    CHECK(page.refcount(bench.cpu()) == 1);
}

TEST_CASE("gup: the fast walk marks a page referenced and never activates it", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    Page& page = bench.mapped_page(mm, 0);
    get(bench, mm, 0, Access::kWrite);
    get(bench, mm, 0, Access::kWrite);
    CHECK(referenced(bench, page));
    CHECK_FALSE(active(bench, page));
}

TEST_CASE("gup: the fast walk has interrupts off until it has its reference", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    HookedCpu hooked(bench);
    Interrupts interrupts = Interrupts::kOn;
    hooked.memory.after = [&] { interrupts = bench.machine.time(0).interrupts(); };
    CHECK(get_user_page_fast(hooked.cpu, bench.kernel.state(), mm, bench.page(0)));
    CHECK(interrupts == Interrupts::kOff);
    CHECK(bench.machine.time(0).interrupts() == Interrupts::kOn);
}

TEST_CASE("gup: the fast walk gives the page back if the entry has changed", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    Page& page = bench.mapped_page(mm, 0);
    const auto slot = find_pte(bench.cpu(), bench.kernel.state(), mm, bench.page(0), Part::kFault);
    HookedCpu hooked(bench);
    std::uint64_t taken = 0;
    hooked.memory.after = [&] {
        taken = page.refcount(bench.cpu());
        bench.machine.memory()[slot->ptep] = {};
    };
    CHECK_FALSE(get_user_page_fast(hooked.cpu, bench.kernel.state(), mm, bench.page(0)));
    CHECK(taken == 2);
    CHECK(page.refcount(bench.cpu()) == 1);
    CHECK_FALSE(referenced(bench, page));
}

TEST_CASE("gup: the fast walk leaves a page alone that is about to be freed", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    Page& page = bench.mapped_page(mm, 0);
    REQUIRE(page.freeze(bench.cpu(), 1));
    CHECK_FALSE(get_user_page_fast(bench.cpu(), bench.kernel.state(), mm, bench.page(0)));
    CHECK(page.refcount(bench.cpu()) == 0);
    CHECK_FALSE(referenced(bench, page));
}

TEST_CASE("gup: the fast walk is over the mm that runs", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    CHECK_THROWS_AS(get(bench, mm, 0, Access::kRead), InvariantError);
}

TEST_CASE("gup: a read of a read-only page finds it under the locks and touches it",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    bench.kernel.fork(bench.cpu(), mm, "child");  // write-protects
    Page& page = bench.mapped_page(mm, 0);
    bench.machine.memory().accesses.clear();
    bench.trace().clear();
    const auto found = get(bench, mm, 0, Access::kRead);
    REQUIRE(found);
    CHECK(found->frame == page.pfn());
    CHECK(found->generation == page.generation);
    CHECK_FALSE(found->writable);
    CHECK(bench.order({Event::kPtlLock, Event::kPtlUnlock, Event::kPageFault}) ==
          "ptl_lock ptl_unlock");
    CHECK(accesses(bench, mm.mmap_sem.word()) == 2);
    CHECK(page.refcount(bench.cpu()) == 3);
    // mark_page_accessed(): the first time referenced, the second time active.
    CHECK(referenced(bench, page));
    CHECK_FALSE(active(bench, page));
    get(bench, mm, 0, Access::kRead);
    CHECK_FALSE(referenced(bench, page));
    bench.drain();
    CHECK(active(bench, page));
}

TEST_CASE("gup: writing to a page of two processes gets a copy", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    bench.kernel.fork(bench.cpu(), mm, "child");
    bench.watch(mm);
    const FrameNumber shared = bench.mapped_page(mm, 0).pfn();
    bench.trace().clear();
    const std::size_t operations = bench.machine.account(0).finished().size();
    const auto found = get(bench, mm, 0, Access::kWrite);
    REQUIRE(found);
    CHECK(found->frame != shared);
    CHECK(found->writable);
    CHECK(found->frame == bench.mapped_page(mm, 0).pfn());
    CHECK(found->generation == bench.mapped_page(mm, 0).generation);
    CHECK(bench.trace().count(Event::kMnStart) == 1);
    // Not an exception and not an operation.
    CHECK(bench.trace().count(Event::kPageFault) == 0);
    CHECK(bench.machine.account(0).finished().size() == operations);
    bench.drain();
    CHECK(bench.mapped_page(mm, 0).refcount(bench.cpu()) == 2);
}

TEST_CASE("gup: a page that is not there is faulted in", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2));
    bench.run(0, mm);
    SECTION("by a write") {
        const auto found = get(bench, mm, 1, Access::kWrite);
        REQUIRE(found);
        CHECK(found->writable);
        CHECK(found->frame == bench.mapped_page(mm, 1).pfn());
        bench.drain();
        CHECK(bench.mapped_page(mm, 1).refcount(bench.cpu()) == 2);
    }
    SECTION("by a read that finds the zero page") {
        const auto found = get(bench, mm, 1, Access::kRead);
        REQUIRE(found);
        CHECK_FALSE(found->writable);
        CHECK(found->frame == bench.kernel.state().zero_page);
        CHECK(found->generation == 0);
        // It has no state.
        CHECK_NOTHROW(bench.kernel.mark_page_accessed(bench.cpu(), found->frame));
        CHECK_NOTHROW(bench.kernel.set_page_dirty_flag(bench.cpu(), found->frame));
        CHECK_NOTHROW(bench.kernel.put_page(bench.cpu(), found->frame));
    }
    // The lock is free again.
    mm.mmap_sem.lock_write(bench.cpu());
    mm.mmap_sem.unlock_write(bench.cpu());
}

TEST_CASE("gup: a page comes back from swap", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    bench.kernel.reclaim_pages(bench.cpu(), ReclaimControl{});
    REQUIRE(bench.pte(mm, 0).swap_type());
    const auto found = get(bench, mm, 0, Access::kRead);
    REQUIRE(found);
    CHECK(found->frame == bench.pte(mm, 0).frame());
    bench.drain();
    CHECK(bench.mapped_page(mm, 0).refcount(bench.cpu()) == 2);
}

TEST_CASE("gup: what no mapping allows is refused", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    MmapRequest read_only;
    read_only.range = bench.range(1);
    read_only.vm_flags = VmFlags::kRead;
    mmap_region(bench.cpu(), bench.kernel.state(), mm, read_only);
    bench.run(0, mm);
    CHECK(get(bench, mm, 0, Access::kRead));
    CHECK_FALSE(get(bench, mm, 0, Access::kWrite));
    CHECK_FALSE(get(bench, mm, 1, Access::kRead));
    mm.mmap_sem.lock_write(bench.cpu());
    mm.mmap_sem.unlock_write(bench.cpu());
    CHECK_THROWS_AS(
        bench.kernel.get_user_page(bench.cpu(), mm.context.id + 1, bench.page(0), Access::kRead),
        InvariantError);
}

TEST_CASE("gup: following a page does only what the flags ask for", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(3));
    bench.run(0, mm);
    const auto follow = [&](std::uint64_t index, FollFlags flags) {
        return follow_page(bench.cpu(), bench.kernel.state(), *mm.find_vma(bench.page(index)),
                           bench.page(index), flags, Part::kRmapWalk);
    };
    get(bench, mm, 1, Access::kRead);  // the zero page
    get(bench, mm, 2, Access::kWrite);
    Page& page = bench.mapped_page(mm, 2);
    page.clear(bench.cpu(), PageFlag::kReferenced);
    const std::uint64_t references = page.refcount(bench.cpu());

    CHECK_FALSE(follow(0, FollFlags::kNone));  // nothing is faulted in
    CHECK(follow(1, FollFlags::kNone)->frame == bench.kernel.state().zero_page);
    CHECK_FALSE(follow(1, FollFlags::kDump));
    CHECK_FALSE(follow(1, FollFlags::kWrite));
    CHECK(follow(2, FollFlags::kDump)->frame == page.pfn());
    CHECK(page.refcount(bench.cpu()) == references);
    CHECK(follow(2, FollFlags::kGet)->frame == page.pfn());
    CHECK(page.refcount(bench.cpu()) == references + 1);
    CHECK_FALSE(referenced(bench, page));
    CHECK(follow(2, FollFlags::kTouch | FollFlags::kWrite)->writable);
    CHECK(page.refcount(bench.cpu()) == references + 1);
    CHECK(referenced(bench, page));
}

TEST_CASE("gup: a write through a clean entry dirties the page", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    Page& page = bench.mapped_page(mm, 0);
    page.clear(bench.cpu(), PageFlag::kDirty);
    const auto slot = find_pte(bench.cpu(), bench.kernel.state(), mm, bench.page(0), Part::kFault);
    const auto slow = [&](Access access) {
        bench.trace().clear();
        get_user_page_unlocked(bench.cpu(), bench.kernel.state(), mm, bench.page(0), access);
        return bench.trace().count(Event::kSetPageDirty);
    };
    CHECK(slow(Access::kWrite) == 0);  // a dirty entry will tell in time
    bench.machine.memory()[slot->ptep].value &= ~Pte::kDirty;
    CHECK(slow(Access::kRead) == 0);
    CHECK(slow(Access::kWrite) == 1);
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    CHECK(slow(Access::kWrite) == 0);
    CHECK_FALSE(bench.pte(mm, 0).dirty());
}

TEST_CASE("gup: the last reference frees the page", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    const auto found = get(bench, mm, 0, Access::kWrite);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1));
    const auto freed = [&] {
        std::size_t count = 0;
        for (const auto pfn : bench.values(Event::kPageFree, "pfn"))
            if (FrameNumber{pfn} == found->frame) ++count;
        return count;
    };
    CHECK(freed() == 0);
    bench.kernel.put_page(bench.cpu(), found->frame);
    CHECK(freed() == 1);
}

TEST_CASE("gup: a secondary MMU's bits reach the page", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    Page& page = bench.mapped_page(mm, 0);
    page.clear(bench.cpu(), PageFlag::kDirty);
    bench.trace().clear();
    bench.kernel.mark_page_accessed(bench.cpu(), page.pfn());
    CHECK(referenced(bench, page));
    bench.kernel.mark_page_accessed(bench.cpu(), page.pfn());
    bench.drain();
    CHECK(active(bench, page));
    bench.kernel.set_page_dirty_flag(bench.cpu(), page.pfn());
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    CHECK(bench.trace().count(Event::kSetPageDirty) == 0);
}

TEST_CASE("gup: a page that is there costs its walk and its reference", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = running_mm(bench, 1);
    const auto before = bench.machine.time(0).charged();
    get(bench, mm, 0, Access::kRead);
    const auto spent = bench.machine.time(0).charged() - before;
    const Duration access = bench.machine.plain_costs().memory_access;
    // Four levels, the entry, and the entry once more.
    CHECK(spent[Part::kFault] == bench.machine.costs().get_user_page +
                                     bench.machine.costs().page_walk_level * 4 + access * 5);
    CHECK(spent[Part::kPageState] == access * 2);
    CHECK(spent.sum() == spent[Part::kFault] + spent[Part::kPageState]);
}
