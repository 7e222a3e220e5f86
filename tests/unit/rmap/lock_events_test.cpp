// SPDX-License-Identifier: Apache-2.0
// What whoever judges rules from the record alone relies on: the locks around page-table changes
// and notifier calls are all in it.
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "rmap/mm/page_release.hpp"
#include "rmap/walk/rmap_walk.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

/// The locks that a CPU holds, and what it does under which.
class HeldLocks {
public:
    void on_record(const EventRecord& record) {
        const std::uint64_t first = record.arguments[0];
        switch (record.event) {
            case Event::kPtlLock:
                return acquire(ptl_, first);
            case Event::kPtlUnlock:
                return release(ptl_, first);
            case Event::kRmapLock:
                return acquire(rmap_, first);
            case Event::kRmapUnlock:
                return release(rmap_, first);
            case Event::kMmapSemLock:
                return acquire(mmap_sem_, first);
            case Event::kMmapSemUnlock:
                return release(mmap_sem_, first);
            case Event::kPteClear:
            case Event::kPtepClearFlush:
            case Event::kPteClearDefer:
            case Event::kPteSet:
            case Event::kPteSetSwap:
            case Event::kPteSetMigration:
            case Event::kPteRestore:
            case Event::kPteRestoreLazyfree:
            case Event::kMkcleanSetPte:
            case Event::kMlockPage:
            case Event::kMnClearFlushYoung:
            case Event::kMnClearYoung:
                ++changes;
                return note(!ptl_.empty(), record);
            case Event::kMnStart:
            case Event::kMnStartRet:
            case Event::kMnEnd:
            case Event::kMnEndRet:
                ++calls;
                return note(ptl_.empty() && (mmap_sem_.count(first) || !rmap_.empty()), record);
            default:
                return;
        }
    }

    bool none_held() const { return ptl_.empty() && rmap_.empty() && mmap_sem_.empty(); }

    unsigned changes = 0;
    unsigned calls = 0;
    std::string wrong;  ///< names of events that came under the wrong locks

private:
    using Locks = std::multiset<std::uint64_t>;

    static void acquire(Locks& locks, std::uint64_t lock) { locks.insert(lock); }
    void release(Locks& locks, std::uint64_t lock) {
        const auto it = locks.find(lock);
        if (it == locks.end())
            wrong += "unlocked ";
        else
            locks.erase(it);
    }
    void note(bool right, const EventRecord& record) {
        if (!right) wrong += std::string(info(record.event).name) + " ";
    }

    Locks ptl_;
    Locks rmap_;
    Locks mmap_sem_;
};

HeldLocks judge(KernelBench& bench) {
    HeldLocks held;
    for (const auto& record : bench.trace().records())
        if (record.actor == 0) held.on_record(record);
    return held;
}

Mm& watched(KernelBench& bench) {
    Mm& mm = bench.anon_mm(4, {0, 1});
    bench.watch(mm);
    return mm;
}

}  // namespace

TEST_CASE("lock events: reclaim holds the rmap lock around sections and the table's inside",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = watched(bench);
    bench.kernel.reclaim_pages(bench.cpu(), {});
    REQUIRE(bench.kernel.status(bench.cpu(), mm).vm_swap == 4);
    const HeldLocks held = judge(bench);
    CHECK(held.wrong == "");
    CHECK(held.none_held());
    CHECK(held.changes >= 4 * 3);
    CHECK(held.calls == 4 * 4);
    CHECK(bench.order({Event::kRmapLock, Event::kRmapUnlock}).find("rmap_lock rmap_unlock") == 0);
}

TEST_CASE("lock events: migration", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = watched(bench);
    const auto moved = bench.kernel.move_pages(bench.cpu(), mm, {bench.page(0)}, 1);
    REQUIRE(moved.succeeded == 1);
    const HeldLocks held = judge(bench);
    CHECK(held.wrong == "");
    CHECK(held.none_held());
    CHECK(held.changes == 3);
    CHECK(held.calls == 4);
    CHECK(bench.values(Event::kMmapSemLock, "mm") == std::vector<std::uint64_t>{mm.context.id});
    CHECK(bench.values(Event::kMmapSemUnlock, "write") == std::vector<std::uint64_t>{0});
}

TEST_CASE("lock events: munmap", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = watched(bench);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(2));
    const HeldLocks held = judge(bench);
    CHECK(held.wrong == "");
    CHECK(held.none_held());
    CHECK(held.changes == 2);
    CHECK(held.calls == 4);
    CHECK(bench.values(Event::kMmapSemLock, "write") == std::vector<std::uint64_t>{1});
    CHECK(bench.values(Event::kMmapSemDowngrade, "mm") ==
          std::vector<std::uint64_t>{mm.context.id});
    CHECK(bench.values(Event::kMmapSemUnlock, "write") == std::vector<std::uint64_t>{0});
    CHECK(bench.values(Event::kMmapSemUnlock, "mm") == std::vector<std::uint64_t>{mm.context.id});
}

TEST_CASE("lock events: fork and the copy that follows", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = watched(bench);
    bench.kernel.fork(bench.cpu(), mm, "child");
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
    const HeldLocks held = judge(bench);
    CHECK(held.wrong == "");
    CHECK(held.none_held());
    CHECK(held.changes == 4 * 2 + 2);
    CHECK(held.calls == 4 + 4);
    CHECK(bench.values(Event::kMmapSemLock, "write") == std::vector<std::uint64_t>{1, 1, 0});
}

TEST_CASE("lock events: the OOM reaper", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = watched(bench);
    REQUIRE(bench.kernel.oom_reap(bench.cpu(), mm).reaped);
    const HeldLocks held = judge(bench);
    CHECK(held.wrong == "");
    CHECK(held.none_held());
    CHECK(held.changes == 4);
    CHECK(held.calls == 4);
}

TEST_CASE("lock events: an anon_vma that is given up again is unlocked in the record too",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    Page& page = bench.mapped_page(mm, 0);
    const PhysAddr root =
        page_anon_vma(bench.kernel.state(), page.mapping(bench.cpu())).root->rwsem.word();
    AnonVma* locked = nullptr;
    SECTION("still mapped") {
        locked = page_lock_anon_vma_read(bench.cpu(), bench.kernel.state(), page);
        REQUIRE(locked);
        CHECK(bench.values(Event::kRmapLock, "lock") == std::vector<std::uint64_t>{root.value});
        CHECK(bench.trace().count(Event::kRmapUnlock) == 0);
        anon_vma_unlock_read(bench.cpu(), *locked);
    }
    SECTION("unmapped when the semaphore is there") {
        bench.trace().at_next(Event::kRmapLock, 0, [&] { page.add_mapcount(bench.cpu(1), -1); });
        locked = page_lock_anon_vma_read(bench.cpu(), bench.kernel.state(), page);
        CHECK_FALSE(locked);
        CHECK(bench.order({Event::kRmapLock, Event::kRmapUnlock}) == "rmap_lock rmap_unlock");
    }
    SECTION("held for writing by somebody else") {
        AnonVma& anon_vma = page_anon_vma(bench.kernel.state(), page.mapping(bench.cpu()));
        anon_vma_lock_write(bench.cpu(1), anon_vma);
        bench.machine.time(0).while_waiting = [&] {
            CHECK(bench.order({Event::kRmapLock}) == "");
            anon_vma_unlock_write(bench.cpu(1), anon_vma);
        };
        locked = page_lock_anon_vma_read(bench.cpu(), bench.kernel.state(), page);
        REQUIRE(locked);
        CHECK(bench.order({Event::kRmapLock, Event::kRmapUnlock}) == "rmap_lock");
        anon_vma_unlock_read(bench.cpu(), *locked);
    }
    CHECK(judge(bench).none_held());
}
