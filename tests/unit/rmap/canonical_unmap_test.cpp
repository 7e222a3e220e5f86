// SPDX-License-Identifier: Apache-2.0
// X1, X4, X5: the event strings of section 6.7 of the kernel reference, for every branch that small
// pages reach, with and without notifiers, flushed at once and later.
#include <catch2/catch.hpp>
#include <functional>
#include <set>

#include "tests/unit/rmap/unmap_subject.hpp"

using namespace mmusim::rmap;
using namespace mmusim::test;

namespace {

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
