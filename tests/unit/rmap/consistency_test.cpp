// SPDX-License-Identifier: Apache-2.0
// Whatever the order of operations: entries, map counts, references, counters, swap slots and free
// frames tell the same story.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>
#include <string>

#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

constexpr std::uint64_t kPages = 24;    // of each mapping
constexpr std::uint64_t kMappings = 4;  // anonymous, a shared and a private file, shmem

/// What the page tables of all mms say.
struct Entries {
    std::map<std::uint64_t, std::uint64_t> mapped;   ///< by frame
    std::map<std::uint64_t, std::uint64_t> swapped;  ///< by slot
    std::set<std::uint64_t> locked;                  ///< frames that a VM_LOCKED VMA maps
};

struct Findings {
    std::string text;  ///< a line each; empty where all books agree

    void compare(const std::string& what, std::uint64_t of, std::uint64_t booked,
                 std::uint64_t counted) {
        if (booked == counted) return;
        text += what + " " + std::to_string(of) + ": " + std::to_string(booked) + ", counted " +
                std::to_string(counted) + "\n";
    }
};

class Machine {
public:
    explicit Machine(unsigned seed, InjectedFault fault = InjectedFault::kNone,
                     SwapDevice swap_device = SwapDevice::kZram)
        : random_(seed), bench_(config(fault, swap_device)) {
        bench_.machine.costs().disk_write = nanoseconds(300'000);  // about one small list
        auto& shared = bench_.kernel.create_file("shared", kPages);
        auto& source = bench_.kernel.create_file("private", kPages);
        Mm& parent = bench_.kernel.create_mm(cpu(0), "parent");
        bench_.kernel.mmap_anon(cpu(0), parent, bench_.range(kPages));
        bench_.kernel.mmap_file(cpu(0), parent, bench_.range(kPages, kPages), shared);
        bench_.kernel.mmap_file(cpu(0), parent, bench_.range(kPages, 2 * kPages), source, 0,
                                Kernel::Sharing::kPrivate);
        auto& shmem = bench_.kernel.create_shmem("shmem", kPages);
        bench_.kernel.mmap_file(cpu(0), parent, bench_.range(kPages, 3 * kPages), shmem);
        files_ = {&shared, &source, &shmem};
        bench_.kernel.populate(cpu(0), parent, bench_.range(kMappings * kPages));
        mms_ = {&parent, &bench_.kernel.fork(cpu(0), parent, "first"),
                &bench_.kernel.fork(cpu(0), parent, "second")};
        for (CpuId id = 1; id < 3; ++id) bench_.run(id, *mms_[id]);
        for (const Mm* mm : mms_) bench_.watch(*mm);
    }

    void step() {
        Mm& mm = *mms_[below(mms_.size())];
        Cpu& on = cpu(static_cast<CpuId>(below(3)));
        const std::uint64_t first = below(kMappings * kPages);
        switch (below(24)) {
            case 0:
                bench_.kernel.reclaim_pages(on, control());
                break;
            case 1:
                move_some(on, mm, first);
                break;
            case 2:
                if (below(4) == 0) bench_.kernel.munmap(on, mm, bench_.range(below(5) + 1, first));
                break;
            case 3:
                if (below(8) == 0) CHECK(bench_.kernel.oom_reap(on, mm).reaped);
                break;
            case 4:
                lock_some(on, mm, bench_.range(below(5) + 1, first));
                break;
            case 5:
                mark_idle(on, mm, first);
                break;
            case 6:
                write_back_or_free_some(on, mm, first);
                break;
            case 7:
                protect_some(on, mm, first);
                break;
            case 8:
                bench_.kernel.madvise(on, mm, bench_.range(below(5) + 1, first),
                                      below(2) ? Madvise::kFree : Madvise::kDontneed);
                break;
            case 9:
                if (below(4) == 0) remap_some(on, mm, first);
                break;
            case 10:
                bench_.kernel.clear_refs(on, mm, static_cast<ClearRefs>(below(5) + 1));
                break;
            case 11:
                if (below(4) == 0) map_some(on, mm, first);
                break;
            case 12:
                if (below(8) == 0) replace_child(on);
                break;
            default: {
                const auto access = below(2) ? Access::kWrite : Access::kRead;
                bench_.kernel.touch(on, mm, bench_.page(first), access);
            }
        }
    }

    /// What does not agree now, a line each.
    std::string disagreements() {
        Findings found;
        end_writes();
        Entries all;
        for (Mm* mm : mms_) compare_counters(*mm, all, found);
        for (const auto& [frame, count] : all.mapped) {
            Page& page = bench_.kernel.state().pages.pfn_to_page({frame});
            const bool cached =
                page.test(cpu(0), PageFlag::kSwapCache) || !page.mapping(cpu(0)).anon();
            found.compare("write-back of frame", frame, page.test(cpu(0), PageFlag::kWriteback),
                          false);
            found.compare("map count of frame", frame, page.mapcount(cpu(0)), count);
            found.compare("references of frame", frame, page.refcount(cpu(0)),
                          count + (cached ? 1 : 0));
            found.compare("LRU flag of frame", frame, page.test(cpu(0), PageFlag::kLru), true);
            const bool mlocked = page.test(cpu(0), PageFlag::kMlocked);
            found.compare("PG_unevictable of frame", frame,
                          page.test(cpu(0), PageFlag::kUnevictable), mlocked);
            if (mlocked) found.compare("PG_mlocked of frame", frame, true, all.locked.count(frame));
        }
        for (const AddressSpace* file : files_) compare_page_cache(*file, all, found);
        for (const auto& [slot, count] : all.swapped)
            found.compare("count of swap slot", slot,
                          bench_.kernel.state().swap.swap_count(cpu(0), {0, slot}), count);
        return found.text;
    }

    /// Unmaps everything and says what does not agree then: the page caches and the tables' roots
    /// are all that may be left.
    std::string disagreements_at_end() {
        Findings found;
        auto& state = bench_.kernel.state();
        for (Mm* mm : mms_) bench_.kernel.munmap(cpu(0), *mm, bench_.range(kMappings * kPages));
        end_writes();
        bench_.kernel.truncate(cpu(0), *files_.back(), 0);
        // Pages that were being written when their last entry went are still in the swap cache.
        for (NodeId nid = 0; nid < 2; ++nid) {
            ReclaimControl control;
            control.nid = nid;
            control.from = ReclaimFrom::kAnon;
            bench_.kernel.reclaim_pages(cpu(0), control);
        }
        std::uint64_t cached = 0;
        for (const AddressSpace* file : files_)
            for (std::uint64_t index = 0; index < kPages; ++index)
                cached += bench_.machine.memory()[file->slot(index)].value != 0;
        found.compare("used swap slots of device", 0, state.swap.used(), 0);
        found.compare(
            "free frames of nodes up to", 1,
            state.pages.nr_free_pages(0) + state.pages.nr_free_pages(1),
            2 * KernelBench::Config{}.frames_per_node - cached - mms_.size() - gone_.size());
        std::uint64_t on_lists = 0;
        for (NodeId nid = 0; nid < 2; ++nid)
            for (unsigned list = 0; list < kLruLists; ++list)
                on_lists += state.lru.size(nid, 0, static_cast<LruList>(list));
        found.compare("pages on LRU lists up to", kLruLists, on_lists, cached);
        for (const auto& mm : mms_) {
            const auto id = mm->context.id;
            found.compare("size of mm", id, bench_.kernel.status(cpu(0), *mm).vm_size, 0);
            found.compare("open sections of mm", id, bench_.client.active_sections(id), 0);
        }
        for (const auto& mm : gone_) {
            const MmStatus status = bench_.kernel.status(cpu(0), *mm);
            found.compare("what is left of mm", mm->context.id,
                          status.vm_rss + status.vm_swap + status.vm_pte + status.vm_size, 0);
        }
        for (CpuId id = 0; id < 3; ++id) {
            const FlushBatch& batch = cpu(id).current->tlb_ubc;
            found.compare("pending flush of CPU", id, batch.flush_required, false);
            found.compare("batch without CPUs on CPU", id, batch.cpumask.empty(), true);
        }
        return found.text;
    }

private:
    static KernelBench::Config config(InjectedFault fault, SwapDevice swap_device) {
        KernelBench::Config result;
        result.swap_device = swap_device;
        result.cpus = 3;
        result.swap_slots = 40;  // sometimes full
        result.fault = fault;
        return result;
    }

    Cpu& cpu(CpuId id) { return bench_.cpu(id); }
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    ReclaimControl control() {
        ReclaimControl control;
        control.nid = static_cast<NodeId>(below(2));
        control.nr_to_scan = below(20) + 1;
        return control;
    }

    void move_some(Cpu& on, Mm& mm, std::uint64_t first) {
        std::vector<VirtAddr> addresses;
        for (std::uint64_t i = 0; i <= below(4); ++i) addresses.push_back(bench_.page(first + i));
        bench_.kernel.move_pages(on, mm, addresses, static_cast<NodeId>(below(2)),
                                 below(2) ? MoveShared::kYes : MoveShared::kNo);
    }

    void lock_some(Cpu& on, Mm& mm, VirtRange range) {
        if (below(2))
            bench_.kernel.munlock(on, mm, range);
        else
            bench_.kernel.mlock(on, mm, range, below(4) ? MlockFlags::kNone : MlockFlags::kOnFault);
    }

    void mark_idle(Cpu& on, Mm& mm, std::uint64_t index) {
        const Pte pte = bench_.pte(mm, index);
        const FrameNumber first{pte.frame().value / kBitmapChunkBits * kBitmapChunkBits};
        if (!pte.present()) return;
        if (below(2))
            bench_.kernel.page_idle_bitmap_write(on, first, random_());
        else
            bench_.kernel.page_idle_bitmap_read(on, first);
    }

    void write_back_or_free_some(Cpu& on, Mm& mm, std::uint64_t first) {
        AddressSpace& file = *files_[below(files_.size())];
        const std::uint64_t page = below(kPages);
        switch (below(5)) {
            case 0:
                bench_.kernel.fsync(on, file);
                break;
            case 1:
                bench_.kernel.msync(on, mm, bench_.range(4, first));
                break;
            case 2:
                bench_.kernel.fallocate_punch_hole(on, file,
                                                   {page, std::min(page + below(6), kPages - 1)});
                break;
            case 3:
                bench_.kernel.truncate(on, file, page);
                bench_.kernel.truncate(on, file, kPages);
                break;
            default:
                bench_.kernel.madvise_remove(on, mm, bench_.range(3, first));
        }
    }

    /// The clock goes on until the disk is idle.
    void end_writes() {
        for (CpuId id = 0; id < 3; ++id)
            bench_.machine.time(0).idle_until(
                max(cpu(0).now(), bench_.machine.time(id).local_now() + nanoseconds(300'000)));
        end_finished_writes(cpu(0), bench_.kernel.state());
    }

    /// A page of a file is where its slot says, and a slot of shmem counts as an entry of swap.
    void compare_page_cache(const AddressSpace& file, Entries& all, Findings& found) {
        for (std::uint64_t index = 0; index < kPages; ++index) {
            const auto entry =
                find_get_entry(cpu(0), bench_.kernel.state(), file, index, Part::kUser);
            if (entry.swap) ++all.swapped[entry.swap->offset];
            if (!entry.page) continue;
            found.compare("index of page", index, entry.page->index, index);
            found.compare("file of page", index, entry.page->mapping(cpu(0)).raw,
                          file.mapping().raw);
            found.compare("swap cache has page", index,
                          entry.page->test(cpu(0), PageFlag::kSwapCache), false);
            put_page(cpu(0), bench_.kernel.state(), *entry.page);
        }
    }

    void protect_some(Cpu& on, Mm& mm, std::uint64_t first) {
        static constexpr std::uint64_t kProtections[] = {0, VmFlags::kRead,
                                                         VmFlags::kRead | VmFlags::kWrite};
        bench_.kernel.mprotect(on, mm, bench_.range(below(6) + 1, first), kProtections[below(3)]);
    }

    /// Within the range that the tests look at.
    void remap_some(Cpu& on, Mm& mm, std::uint64_t first) {
        const std::uint64_t pages = below(4) + 1;
        if (first + pages > kMappings * kPages) return;
        const std::uint64_t to = below(kMappings * kPages - pages);
        const std::uint64_t shrink = below(3);
        bench_.kernel.mremap(on, mm, {bench_.range(pages + shrink, first), pages, bench_.page(to)});
    }

    void map_some(Cpu& on, Mm& mm, std::uint64_t first) {
        const std::uint64_t pages = std::min(below(4) + 1, kMappings * kPages - first);
        bench_.kernel.mmap_anon(on, mm, bench_.range(pages, first));
    }

    /// The second child exits, where it runs, and the first process forks again.
    void replace_child(Cpu& on) {
        Mm& old = *mms_.back();
        bench_.kernel.exit(cpu(2), old);
        gone_.push_back(&old);
        mms_.back() = &bench_.kernel.fork(on, *mms_.front(), "again");
        bench_.watch(*mms_.back());
        bench_.run(2, *mms_.back());
    }

    void compare_counters(Mm& mm, Entries& all, Findings& found) {
        MmStatus seen;
        for (std::uint64_t index = 0; index < kMappings * kPages; ++index) {
            const Pte pte = bench_.pte(mm, index);
            if (pte.swap_type()) {
                ++seen.vm_swap;
                ++all.swapped[pte.offset()];
            }
            if (!pte.present() || !vm_normal_page(bench_.kernel.state(), pte)) continue;
            Page& page = bench_.kernel.state().pages.pfn_to_page(pte.frame());
            const bool anon = page.mapping(cpu(0)).anon();
            const bool shmem = !anon && page.test(cpu(0), PageFlag::kSwapBacked);
            ++(anon ? seen.rss_anon : shmem ? seen.rss_shmem : seen.rss_file);
            // A clean page of a file is write-protected wherever it is shared.
            if (!anon && !shmem && pte.writable())
                found.compare("dirty flag of file page", pte.frame().value,
                              page.test(cpu(0), PageFlag::kDirty), true);
            ++all.mapped[pte.frame().value];
            if (mm.find_vma(bench_.page(index))->has(VmFlags::kLocked))
                all.locked.insert(pte.frame().value);
            found.compare("generation in the entry of frame", pte.frame().value,
                          bench_.kernel.read_pte(cpu(0), mm, bench_.page(index))->generation,
                          page.generation);
        }
        // A running task counts its last faults for itself.
        for (CpuId id = 0; id < 3; ++id) {
            const Task& task = *cpu(id).current;
            if (task.mm != &mm) continue;
            seen.rss_file -= static_cast<std::uint64_t>(task.rss_stat.count[0]);
            seen.rss_anon -= static_cast<std::uint64_t>(task.rss_stat.count[1]);
            seen.vm_swap -= static_cast<std::uint64_t>(task.rss_stat.count[2]);
            seen.rss_shmem -= static_cast<std::uint64_t>(task.rss_stat.count[3]);
        }
        std::uint64_t mapped = 0;
        for (const auto& entry : mm.mmap) mapped += entry.second->range().pages();
        found.compare("pages of VMAs of mm", mm.context.id, mm.total_vm, mapped);
        const auto counter = [&](MmCounter which) {
            return bench_.machine.memory()[mm.rss_word(which)].value;
        };
        const auto id = mm.context.id;
        std::uint64_t locked_vm = 0;
        for (const auto& entry : mm.mmap)
            if (entry.second->has(VmFlags::kLocked)) locked_vm += entry.second->range().pages();
        found.compare("locked pages of mm", id, mm.locked_vm, locked_vm);
        found.compare("MM_ANONPAGES of mm", id, counter(MmCounter::kAnonPages), seen.rss_anon);
        found.compare("MM_FILEPAGES of mm", id, counter(MmCounter::kFilePages), seen.rss_file);
        found.compare("MM_SWAPENTS of mm", id, counter(MmCounter::kSwapEnts), seen.vm_swap);
        found.compare("MM_SHMEMPAGES of mm", id, counter(MmCounter::kShmemPages), seen.rss_shmem);
    }

    std::mt19937_64 random_;
    KernelBench bench_;
    std::vector<Mm*> mms_;
    std::vector<AddressSpace*> files_;  ///< shmem is the last
    std::vector<Mm*> gone_;
};

}  // namespace

TEST_CASE("engine: all books agree after any sequence of operations", "[unit][rmap]") {
    const SwapDevice swap_device = GENERATE(SwapDevice::kZram, SwapDevice::kDisk);
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Machine machine(seed, InjectedFault::kNone, swap_device);
        for (unsigned round = 0; round < 10; ++round) {
            for (unsigned i = 0; i < 40; ++i) machine.step();
            CHECK(machine.disagreements() == "");
        }
        CHECK(machine.disagreements_at_end() == "");
    }
}

TEST_CASE("engine: all books agree whatever is wrong with notifier sections", "[unit][rmap]") {
    for (const InjectedFault fault :
         {InjectedFault::kClearOutsideSection, InjectedFault::kEndWithoutStart,
          InjectedFault::kEndAfterRefusal, InjectedFault::kStartUnderLock,
          InjectedFault::kUnlockInsideSection, InjectedFault::kFreeBeforeSection,
          InjectedFault::kSkipInvalidateRange, InjectedFault::kOnlyEnd,
          InjectedFault::kInvalidateBeforeClear, InjectedFault::kSkipSecondaryAging,
          InjectedFault::kSecondSection})
        for (unsigned seed = 1; seed <= 3; ++seed) {
            CAPTURE(static_cast<unsigned>(fault), seed);
            Machine machine(seed, fault);
            for (unsigned round = 0; round < 10; ++round) {
                for (unsigned i = 0; i < 40; ++i) machine.step();
                CHECK(machine.disagreements() == "");
            }
            CHECK(machine.disagreements_at_end() == "");
        }
}
