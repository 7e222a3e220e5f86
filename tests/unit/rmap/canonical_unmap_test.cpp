// SPDX-License-Identifier: Apache-2.0
// X1, X4, X5: the event strings of section 6.7 of the kernel reference, for every branch that small
// pages reach, with and without notifiers, flushed at once and later.
#include <catch2/catch.hpp>
#include <functional>
#include <set>

#include "rmap/mm/page_release.hpp"
#include "rmap/unmap/try_to_unmap.hpp"
#include "rmap/unmap/unmap_flush.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;
using mmusim::test::RecordingTrace;

namespace {

constexpr auto kReclaim = TtuFlags::kBatchFlush;
constexpr auto kMigrate = TtuFlags::kMigration | TtuFlags::kIgnoreMlock | TtuFlags::kIgnoreAccess;

/// One page of one mm, as a case wants it.
struct Subject {
    KernelBench& bench;
    Mm& mm;

    Page& isolated() { return bench.isolate(mm, 0); }
    Page& in_swap_cache() {
        Page& page = isolated();
        REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
        return page;
    }
};

void map_anon(Subject& s, const Populate& how, std::uint64_t vm_flags = 0) {
    s.bench.kernel.mmap_anon(s.bench.cpu(), s.mm, s.bench.range(1));
    s.bench.kernel.populate(s.bench.cpu(), s.mm, s.bench.range(1), how);
    // Its pages are not mlocked yet.
    Vma& vma = *s.mm.find_vma(s.bench.page(0));
    set_vm_flags(s.bench.cpu(), vma, vma.vm_flags | vm_flags);
}

void map_file(Subject& s, AddressSpace& file, const Populate& how,
              Kernel::Sharing sharing = Kernel::Sharing::kShared) {
    s.bench.kernel.mmap_file(s.bench.cpu(), s.mm, s.bench.range(1), file, 0, sharing);
    s.bench.kernel.populate(s.bench.cpu(), s.mm, s.bench.range(1), how);
}

void map_file(Subject& s, const Populate& how, Kernel::Sharing sharing = Kernel::Sharing::kShared) {
    map_file(s, s.bench.kernel.create_file("file", 1), how, sharing);
}

void map_shmem(Subject& s, const Populate& how) {
    map_file(s, s.bench.kernel.create_shmem("shmem", 1), how);
}

/// An anonymous page that was swapped out, and read again: clean, and still in the swap cache,
/// because somebody else has an entry for its slot.
Page& read_from_swap(Subject& s, const Populate& how) {
    map_anon(s, KernelBench::kColdDirty);
    s.bench.kernel.reclaim_pages(s.bench.cpu(), {});
    const Pte entry = s.bench.pte(s.mm, 0);
    REQUIRE(entry.swap_type());
    REQUIRE(s.bench.kernel.state().swap.swap_duplicate(s.bench.cpu(), {0, entry.offset()}));
    s.bench.kernel.populate(s.bench.cpu(), s.mm, s.bench.range(1), how);
    Page& page = s.isolated();
    REQUIRE(page.test(s.bench.cpu(), PageFlag::kSwapCache));
    return page;
}

Page& lazyfree(Subject& s) {
    map_anon(s, KernelBench::kColdCleaned);
    Page& page = s.bench.mapped_page(s.mm, 0);
    page.clear(s.bench.cpu(), PageFlag::kDirty);
    mark_page_lazyfree(s.bench.cpu(), s.bench.kernel.state(), page);
    s.bench.drain();
    return page;
}

struct Case {
    const char* name;
    TtuFlags flags;
    /// Makes the page, isolated and locked.
    std::function<Page&(Subject&)> make;
    /// "FLUSH" and "FLUSH(dirty)" stand for FL1, or for DEFER with its mark; tokens that begin with
    /// "MN." come with notifiers only.
    const char* sequence;
    bool ret;       ///< of try_to_unmap_one()
    bool unmapped;  ///< afterwards
};

const Case kCases[] = {
    {"swap-out of a dirty page", kReclaim,
     [](Subject& s) -> Page& { return map_anon(s, KernelBench::kColdDirty), s.in_swap_cache(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH(dirty), DIRTY, HIW, C(anon-1), C(swap+1), "
     "PTE.SET(swp), MN.INV, RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"swap-out of a clean page", kReclaim,
     [](Subject& s) -> Page& { return map_anon(s, KernelBench::kColdCleaned), s.in_swap_cache(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH, HIW, C(anon-1), C(swap+1), PTE.SET(swp), "
     "MN.INV, RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"a young page whose accesses are ignored", kReclaim | TtuFlags::kIgnoreAccess,
     [](Subject& s) -> Page& { return map_anon(s, {}), s.in_swap_cache(); },
     "MN.START, PTL+, PTE.CLR, FLUSH(dirty), DIRTY, HIW, C(anon-1), C(swap+1), PTE.SET(swp), "
     "MN.INV, RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"a clean page of a file", kReclaim,
     [](Subject& s) -> Page& { return map_file(s, KernelBench::kColdRead), s.isolated(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH, HIW, C(file-1), RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"a dirty page of a file", kReclaim,
     [](Subject& s) -> Page& { return map_file(s, KernelBench::kColdDirty), s.isolated(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH(dirty), DIRTY, HIW, C(file-1), RMAP-, PUT, "
     "PTL-, MN.END",
     true, true},
    {"a private mapping of a file", kReclaim,
     [](Subject& s) -> Page& {
         return map_file(s, KernelBench::kColdRead, Kernel::Sharing::kPrivate), s.isolated();
     },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH, HIW, C(file-1), RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"a private copy of a page of a file", kReclaim,
     [](Subject& s) -> Page& {
         return map_file(s, KernelBench::kColdDirty, Kernel::Sharing::kPrivate), s.in_swap_cache();
     },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH(dirty), DIRTY, HIW, C(anon-1), C(swap+1), "
     "PTE.SET(swp), MN.INV, RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"a clean page of shmem", kReclaim,
     [](Subject& s) -> Page& { return map_shmem(s, KernelBench::kColdRead), s.isolated(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH, HIW, C(shmem-1), RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"a dirty page of shmem", kReclaim,
     [](Subject& s) -> Page& { return map_shmem(s, KernelBench::kColdDirty), s.isolated(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH(dirty), DIRTY, HIW, C(shmem-1), RMAP-, PUT, "
     "PTL-, MN.END",
     true, true},
    {"a page that was read from swap", kReclaim,
     [](Subject& s) -> Page& { return read_from_swap(s, KernelBench::kColdRead); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH, HIW, C(anon-1), C(swap+1), PTE.SET(swp), "
     "MN.INV, RMAP-, PUT, PTL-, MN.END",
     true, true},
    {"migration", kMigrate,
     [](Subject& s) -> Page& { return map_anon(s, KernelBench::kColdDirty), s.isolated(); },
     "MN.START, PTL+, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END", true,
     true},
    {"migration of a clean page of a file", kMigrate,
     [](Subject& s) -> Page& { return map_file(s, KernelBench::kColdRead), s.isolated(); },
     "MN.START, PTL+, PTE.CLR, FL1, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END", true, true},
    {"migration of a clean anonymous page", kMigrate,
     [](Subject& s) -> Page& { return map_anon(s, KernelBench::kColdCleaned), s.isolated(); },
     "MN.START, PTL+, PTE.CLR, FL1, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END", true, true},
    {"migration of a private mapping of a file", kMigrate,
     [](Subject& s) -> Page& {
         return map_file(s, KernelBench::kColdRead, Kernel::Sharing::kPrivate), s.isolated();
     },
     "MN.START, PTL+, PTE.CLR, FL1, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END", true, true},
    {"migration of a page of shmem", kMigrate,
     [](Subject& s) -> Page& { return map_shmem(s, KernelBench::kColdDirty), s.isolated(); },
     "MN.START, PTL+, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END", true,
     true},
    {"migration of a page in the swap cache", kMigrate,
     [](Subject& s) -> Page& { return read_from_swap(s, KernelBench::kColdRead); },
     "MN.START, PTL+, PTE.CLR, FL1, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END", true, true},
    {"migration of a lazyfree page", kMigrate,
     [](Subject& s) -> Page& { return lazyfree(s), s.isolated(); },
     "MN.START, PTL+, PTE.CLR, FL1, HIW, PTE.SET(mig), RMAP-, PUT, PTL-, MN.END", true, true},
    {"a young page in reclaim", kReclaim,
     [](Subject& s) -> Page& { return map_anon(s, {}), s.in_swap_cache(); },
     "MN.START, PTL+, A-clear(1), MN.CFY, PTL-, MN.END", false, false},
    {"a young page of a file", kReclaim,
     [](Subject& s) -> Page& { return map_file(s, {}), s.isolated(); },
     "MN.START, PTL+, A-clear(1), MN.CFY, PTL-, MN.END", false, false},
    {"a young page of shmem", kReclaim,
     [](Subject& s) -> Page& { return map_shmem(s, {}), s.isolated(); },
     "MN.START, PTL+, A-clear(1), MN.CFY, PTL-, MN.END", false, false},
    {"a young lazyfree page", kReclaim,
     [](Subject& s) -> Page& {
         lazyfree(s);
         REQUIRE(s.bench.kernel.touch(s.bench.cpu(), s.mm, s.bench.page(0), Access::kRead));
         return s.isolated();
     },
     "MN.START, PTL+, A-clear(1), MN.CFY, PTL-, MN.END", false, false},
    {"a VM_LOCKED VMA", kReclaim,
     [](Subject& s) -> Page& {
         return map_anon(s, KernelBench::kColdDirty, VmFlags::kLocked), s.isolated();
     },
     "MN.START, PTL+, mlock, PTL-, MN.END", false, false},
    {"migration of a page that is mlocked", kMigrate,
     [](Subject& s) -> Page& {
         map_anon(s, KernelBench::kColdDirty);
         REQUIRE(s.bench.kernel.mlock(s.bench.cpu(), s.mm, s.bench.range(1)) == Errno::kNone);
         s.bench.drain();
         return s.isolated();
     },
     "MN.START, PTL+, PTE.CLR, FL1, DIRTY, HIW, PTE.SET(mig), RMAP-, clear_page_mlock, PUT, PTL-, "
     "MN.END",
     true, true},
    {"munlock of a VMA that is not VM_LOCKED", TtuFlags::kMunlock,
     [](Subject& s) -> Page& { return map_anon(s, {}), s.isolated(); }, "", true, false},
    {"munlock of a VM_LOCKED VMA", TtuFlags::kMunlock,
     [](Subject& s) -> Page& { return map_anon(s, {}, VmFlags::kLocked), s.isolated(); },
     "MN.START, PTL+, mlock, PTL-, MN.END", false, false},
    {"a clean lazyfree page", kReclaim,
     [](Subject& s) -> Page& { return lazyfree(s), s.isolated(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH, HIW, MN.INV, C(anon-1), RMAP-, PUT, PTL-, "
     "MN.END",
     true, true},
    {"a lazyfree page that was written again", kReclaim,
     [](Subject& s) -> Page& {
         lazyfree(s);
         REQUIRE(s.bench.kernel.touch(s.bench.cpu(), s.mm, s.bench.page(0), Access::kWrite));
         Populate cold;
         cold.accessed = AccessedBits::kCleared;
         s.bench.kernel.arrange(s.bench.cpu(), s.mm, s.bench.range(1), cold);
         return s.isolated();
     },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH(dirty), DIRTY, HIW, PTE.SET(old), PTL-, "
     "MN.END",
     false, false},
    {"a page without a place in swap (HZ2)", kReclaim,
     [](Subject& s) -> Page& { return map_anon(s, KernelBench::kColdDirty), s.isolated(); },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH(dirty), DIRTY, HIW, WARN, MN.INV, PTL-, "
     "MN.END",
     false, false},
    {"a slot that cannot be counted again", kReclaim,
     [](Subject& s) -> Page& {
         map_anon(s, KernelBench::kColdDirty);
         Page& page = s.in_swap_cache();
         while (s.bench.kernel.state().swap.swap_duplicate(s.bench.cpu(), page.swap)) {
         }
         return page;
     },
     "MN.START, PTL+, A-clear, MN.CFY, PTE.CLR, FLUSH(dirty), DIRTY, HIW, PTE.SET(old), PTL-, "
     "MN.END",
     false, false},
    {"a VMA in which nothing is mapped", kReclaim,
     [](Subject& s) -> Page& {
         map_anon(s, KernelBench::kColdDirty);
         Page& page = s.in_swap_cache();
         const auto slot =
             find_pte(s.bench.cpu(), s.bench.kernel.state(), s.mm, s.bench.page(0), Part::kUser);
         set_pte_at(s.bench.cpu(), slot->ptep, {}, 0);
         return page;
     },
     "MN.START, MN.END", true, false},
};

enum class Notifiers { kNo, kYes };
enum class Flush { kAtOnce, kDeferred };

std::string expected(const Case& c, Notifiers notifiers, Flush flush) {
    std::string result;
    std::string rest = c.sequence;
    while (!rest.empty()) {
        const auto comma = rest.find(", ");
        std::string token = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 2);
        if (token.rfind("MN.", 0) == 0 && notifiers == Notifiers::kNo) continue;
        if (token.rfind("FLUSH", 0) == 0) {
            const bool dirty = token == "FLUSH(dirty)";
            if (flush == Flush::kAtOnce)
                token = "FL1";
            else
                token = dirty ? "DEFER, DEFER.writable" : "DEFER";
        }
        result += (result.empty() ? "" : ", ") + token;
    }
    return result;
}

/// All counters of the mm.
std::vector<std::uint64_t> counters(KernelBench& bench, Mm& mm) {
    const MmStatus status = bench.kernel.status(bench.cpu(), mm);
    return {status.rss_anon, status.rss_file, status.rss_shmem, status.vm_swap};
}

/// What the C(...) tokens of a sequence say.
std::vector<std::uint64_t> changed(std::vector<std::uint64_t> values, const std::string& sequence) {
    const std::pair<const char*, std::pair<std::size_t, int>> kTokens[] = {{"C(anon-1)", {0, -1}},
                                                                           {"C(file-1)", {1, -1}},
                                                                           {"C(shmem-1)", {2, -1}},
                                                                           {"C(swap+1)", {3, +1}}};
    for (const auto& [token, change] : kTokens)
        if (sequence.find(token) != std::string::npos)
            values[change.first] += static_cast<std::uint64_t>(change.second);
    return values;
}

/// Names of what happens on CPU 0 with a page-table lock held.
std::set<std::string> under_lock(KernelBench& bench) {
    std::set<std::string> names;
    bool locked = false;
    for (const auto& record : bench.trace().records()) {
        if (record.actor != 0) continue;
        if (record.event == Event::kPtlUnlock) locked = false;
        if (locked) names.emplace(info(record.event).name);
        if (record.event == Event::kPtlLock) locked = true;
    }
    return names;
}

/// Nothing that sleeps, takes another lock, or gives a frame back.
const std::set<std::string> kAllowedUnderLock{
    // the walk's last look, aging
    "page_vma_mapped_walk", "page_vma_mapped_walk_ret", "ptep_clear_flush_young",
    "ptep_clear_flush_young_ret", "mn_clear_flush_young", "mn_clear_flush_young_ret",
    // the entry, and its flush
    "ptep_clear_flush", "ptep_clear_flush_ret", "flush_tlb_mm_range", "flush_tlb_mm_range_ret",
    "tlb_gen_inc", "mm_cpumask_read", "flush_tlb_func", "flush_tlb_func_ret", "tlb_flush",
    "tlb_invalidated", "flush_tlb_others", "flush_tlb_others_ret", "tlb_is_not_lazy",
    "tlb_is_not_lazy_ret", "ipi_send", "pte_clear_defer", "ubc_tlb_gen_inc", "ubc_flush_required",
    "ubc_batched_set", "ubc_writable", "pte_set_swap", "pte_set_migration", "pte_restore",
    "pte_restore_lazyfree", "mn_range",
    // the page, the mm and the slot
    "set_page_dirty", "update_hiwater_rss", "mm_counter", "swap_duplicate", "swap_duplicate_ret",
    "warn_swapbacked_not_swapcache", "page_remove_rmap", "put_page", "mlock_page",
    "clear_page_mlock"};

/// What one case has come to.
struct UnmapOutcome {
    std::string sequence;
    std::vector<std::uint64_t> returned;  ///< by try_to_unmap_one()
    bool said_unmapped = false;           ///< by try_to_unmap()
    bool mapped = false;
    std::vector<std::uint64_t> counters_before;
    std::vector<std::uint64_t> counters_after;
    std::set<std::string> forbidden_under_lock;
};

UnmapOutcome run(const Case& c, Notifiers notifiers, Flush flush) {
    KernelBench::Config config;
    config.swap_max_map_count = 3;
    KernelBench bench(config);
    Subject subject{bench, bench.kernel.create_mm(bench.cpu(), "main")};
    Page& page = c.make(subject);
    bench.run(flush == Flush::kAtOnce ? 0 : 1, subject.mm);
    if (notifiers == Notifiers::kYes) bench.watch(subject.mm);
    UnmapOutcome outcome;
    outcome.counters_before = counters(bench, subject.mm);
    bench.trace().clear();
    if (c.flags == TtuFlags::kMunlock)
        try_to_munlock(bench.cpu(), bench.kernel.state(), page);
    else
        outcome.said_unmapped = try_to_unmap(bench.cpu(), bench.kernel.state(), page, c.flags);
    outcome.sequence = bench.canonical_unmap_one();
    outcome.returned = bench.values(Event::kTryToUnmapOneRet, "ret");
    outcome.mapped = page_mapped(bench.cpu(), page);
    outcome.counters_after = counters(bench, subject.mm);
    for (const std::string& name : under_lock(bench))
        if (!kAllowedUnderLock.count(name)) outcome.forbidden_under_lock.insert(name);
    return outcome;
}

}  // namespace

TEST_CASE("X1: every branch of try_to_unmap_one has its canonical order", "[unit][rmap]") {
    for (const Case& c : kCases)
        for (const Notifiers notifiers : {Notifiers::kNo, Notifiers::kYes})
            for (const Flush flush : {Flush::kAtOnce, Flush::kDeferred}) {
                INFO(c.name << (notifiers == Notifiers::kYes ? ", notifiers" : "")
                            << (flush == Flush::kAtOnce ? ", at once" : ", deferred"));
                const UnmapOutcome outcome = run(c, notifiers, flush);
                const std::string sequence = expected(c, notifiers, flush);
                CHECK(outcome.sequence == sequence);
                CHECK(outcome.returned == std::vector<std::uint64_t>{c.ret});
                CHECK(outcome.mapped == !c.unmapped);
                if (c.flags != TtuFlags::kMunlock) CHECK(outcome.said_unmapped == c.unmapped);
                CHECK(outcome.counters_after == changed(outcome.counters_before, sequence));
                CHECK(outcome.forbidden_under_lock.empty());
            }
}

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

TEST_CASE("X5: a mapping is deferred only if another CPU has the mm loaded", "[unit][rmap]") {
    KernelBench::Config config;
    config.cpus = 3;
    KernelBench bench(config);
    Mm& nowhere = bench.anon_mm(1, {});
    Mm& elsewhere = bench.anon_mm(1, {1});
    Mm& two = bench.anon_mm(1, {0, 2});
    for (Mm* mm : {&nowhere, &elsewhere, &two}) {
        Page& page = bench.isolate(*mm, 0);
        REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
        const std::uint64_t gen = bench.tlb_gen(*mm);
        REQUIRE(bench.try_to_unmap(page, kReclaim));
        CHECK(bench.trace().count(Event::kPteClearDefer) == (mm == &nowhere ? 0u : 1u));
        CHECK(bench.tlb_gen(*mm) == gen + 1);
    }
    // One round for both address spaces, to the union of their masks.
    CHECK(bench.cpu().current->tlb_ubc.cpumask.word(0) == 0b111);
}

namespace {

/// CPU 0 unmaps a page as reclaim does.
void unmap_for_reclaim(KernelBench& bench, Mm& mm, std::uint64_t index) {
    Page& page = bench.isolate(mm, index);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    REQUIRE(bench.try_to_unmap(page, kReclaim));
}

/// A kernel thread takes the CPU over, on the mm of the task before it.
void enter_lazy_tlb(KernelBench& bench, CpuId id, Task& thread) {
    bench.cpu(id).current = &thread;
    bench.flush.enter_lazy_tlb(bench.cpu(id));
}

std::uint64_t full_flushes_on(KernelBench& bench, CpuId id) {
    std::uint64_t count = 0;
    for (const auto& record : bench.trace().find(Event::kTlbFlush))
        count += record.actor == id && RecordingTrace::argument(record, "pages") == kAllPages;
    return count;
}

}  // namespace

TEST_CASE("X5: a lazy CPU counts as another one and flushes when it comes back", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Task thread;
    enter_lazy_tlb(bench, 1, thread);
    unmap_for_reclaim(bench, mm, 0);
    CHECK(bench.trace().count(Event::kPteClearDefer) == 1);
    CHECK(bench.cpu().current->tlb_ubc.cpumask.word(0) == 0b10);
    bench.machine.interrupts(0).sent.clear();
    try_to_unmap_flush(bench.cpu(), bench.kernel.state());
    CHECK(bench.machine.interrupts(0).sent.empty());
    CHECK(full_flushes_on(bench, 1) == 0);
    bench.run(1, mm);
    CHECK(full_flushes_on(bench, 1) == 1);
}

TEST_CASE("X5: a CPU that switched away is caught up when it switches in", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    unmap_for_reclaim(bench, mm, 0);
    // Between the note and the flush: it is interrupted for an mm that it does not run.
    bench.run_kernel_thread(1);
    bench.trace().clear();
    bench.machine.interrupts(0).sent.clear();
    try_to_unmap_flush(bench.cpu(), bench.kernel.state());
    CHECK(bench.machine.interrupts(0).sent.size() == 1);
    CHECK(bench.machine.interrupts(0).sent.front().targets.word(0) == 0b10);
    bench.run(1, mm);
    CHECK(full_flushes_on(bench, 1) == 1);
    CHECK(bench.flush.cpu_tlbstate(1).loaded_mm.id == mm.context.id);

    // Before the note: nobody else has the mm, so the entry is flushed at once.
    bench.run_kernel_thread(1);
    bench.trace().clear();
    unmap_for_reclaim(bench, mm, 1);
    CHECK(bench.trace().count(Event::kPteClearDefer) == 0);
    CHECK_FALSE(bench.cpu().current->tlb_ubc.flush_required);
    bench.trace().clear();
    bench.run(1, mm);
    CHECK(full_flushes_on(bench, 1) == 1);
}

TEST_CASE("X5: a dirty entry that was deferred is flushed once before its page is written",
          "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(2, {1});
    bench.kernel.reclaim_pages(bench.cpu(), {});
    CHECK(bench.order({Event::kPteClearDefer, Event::kArchTlbbatchFlush, Event::kSwapWritepage,
                       Event::kPageFree}) ==
          "pte_clear_defer arch_tlbbatch_flush swap_writepage "
          "pte_clear_defer arch_tlbbatch_flush swap_writepage mm_page_free mm_page_free");
}

TEST_CASE("X5: two address spaces of one batch share one round of interrupts", "[unit][rmap]") {
    KernelBench::Config config;
    config.cpus = 3;
    KernelBench bench(config);
    Mm& one = bench.anon_mm(1, {1});
    Mm& other = bench.anon_mm(1, {2});
    unmap_for_reclaim(bench, one, 0);
    unmap_for_reclaim(bench, other, 0);
    bench.machine.interrupts(0).sent.clear();
    bench.trace().clear();
    try_to_unmap_flush(bench.cpu(), bench.kernel.state());
    CHECK(bench.machine.interrupts(0).sent.size() == 1);
    CHECK(bench.machine.interrupts(0).sent.front().targets.word(0) == 0b110);
    for (const CpuId id : {1u, 2u}) CHECK(full_flushes_on(bench, id) == 1);
    CHECK(bench.trace().count(Event::kArchTlbbatchFlush) == 1);
}
