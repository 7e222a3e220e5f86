// SPDX-License-Identifier: Apache-2.0
// Whatever the order of operations: entries, map counts, references, counters, lists, trees, swap
// slots and free frames tell the same story.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <deque>
#include <random>
#include <string>

#include "rmap/mm/mm_counter.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "tests/support/test_size.hpp"
#include "tests/unit/rmap/books.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::Books;
using mmusim::test::Holders;
using mmusim::test::KernelBench;

namespace {

constexpr std::uint64_t kFilePages = 24;
// Where the mappings are: on both sides of a 2 MiB boundary, so that there are several tables.
constexpr std::uint64_t kFirst = kLargePages - 40;
constexpr std::uint64_t kPages = 96;
// Places of 2 MiB.
constexpr std::array<std::uint64_t, 3> kLarge{4 * kLargePages, 5 * kLargePages, 8 * kLargePages};
constexpr CpuId kCpus = 4;          // that operate
constexpr CpuId kObserver = kCpus;  // only looks
constexpr std::size_t kProcesses = 5;
constexpr std::uint64_t kOperationsPerMachine = 1000;

class Machine {
public:
    explicit Machine(std::uint64_t seed, InjectedFault fault = InjectedFault::kNone,
                     SwapDevice swap_device = SwapDevice::kZram)
        : random_(seed),
          forks_(forks(seed)),
          bench_(config(fault, swap_device, seed)),
          books_(bench_, holders_, kObserver) {
        bench_.machine.costs().disk_write = nanoseconds(300'000);  // about one small list
        auto& kernel = bench_.kernel;
        holders_.files = {&kernel.create_file("one", kFilePages),
                          &kernel.create_file("other", kFilePages),
                          &kernel.create_shmem("shmem", kFilePages)};
        for (CpuId id = 0; id <= kObserver; ++id) run_idle(bench_.cpu(id));
        // Two families, each with a memory control group of its own. They share the files.
        for (unsigned memcg = 0; memcg < 2; ++memcg) {
            Process& parent = add_process(kernel.create_mm(cpu(0), "family", memcg));
            Cpu& on = run(parent);
            kernel.mmap_anon(on, *parent.mm, range(kPages / 4, 0));
            for (std::uint64_t i = 1; i < 4; ++i) map_file(on, parent, kPages / 4 * i);
            kernel.populate(on, *parent.mm, range(kPages / 4, 0));
            fork(parent);
        }
    }

    /// One random operation.
    void step() {
        Process& process = processes_.at(below(processes_.size()));
        Cpu& on = run(process);
        const std::uint64_t first = below(kPages);
        switch (below(40)) {
            case 0:
            case 1:
                reclaim();
                break;
            case 2:
            case 3:
                move_some(process, first);
                break;
            case 4:
                if (below(4) == 0)
                    bench_.kernel.munmap(on, *process.mm, some_pages(first));
                else
                    map_some(on, process, first);
                break;
            case 5:
                if (below(4) == 0) oom_reap(process);
                break;
            case 6:
            case 7:
                lock_some(on, process, some_pages(first));
                break;
            case 8:
            case 9:
                mark_idle(process, first);
                break;
            case 10:
            case 11:
                write_back_or_free_some(on, process, first);
                break;
            case 12:
            case 13:
                protect_some(on, process, some_pages(first));
                break;
            case 14:
            case 15:
                bench_.kernel.madvise(on, *process.mm, some_pages(first),
                                      below(2) ? Madvise::kFree : Madvise::kDontneed);
                break;
            case 16:
                remap_some(on, process, first);
                break;
            case 17:
                bench_.kernel.clear_refs(cpu(below(kCpus)), *process.mm,
                                         static_cast<ClearRefs>(below(5) + 1));
                break;
            case 18:
                if (forks_ && below(2) == 0) fork_or_exit(process);
                break;
            case 19:
                pin_some(on, process, first);
                break;
            case 20:
                unpin_one();
                break;
            case 21:
                leave_cpu();
                break;
            case 22:
                move_large(on, process);
                break;
            default:
                touch_some(on, process, first);
        }
        bench_.trace().clear();
        bench_.machine.memory().accesses.clear();
        for (CpuId id = 0; id <= kObserver; ++id) {
            bench_.machine.tlb(id).operations.clear();
            bench_.machine.interrupts(id).sent.clear();
        }
    }

    /// What does not agree now.
    std::string disagreements() { return books_.disagreements(); }

    /// All processes exit, in a random order, and the files are emptied; what is left then is said
    /// as well.
    std::string disagreements_at_end() {
        while (!holders_.pins.empty()) unpin_one();
        while (!processes_.empty()) exit(processes_.at(below(processes_.size())));
        // Pages that were being written when their last entry went are still in the swap cache.
        for (CpuId id = 0; id < kCpus; ++id)
            bench_.machine.time(0).idle_until(max(cpu(0).now(), cpu(id).now()) +
                                              nanoseconds(300'000) * kPages);
        end_finished_writes(cpu(0), bench_.kernel.state());
        for (AddressSpace* file : holders_.files) bench_.kernel.truncate(cpu(0), *file, 0);
        // Reclaim cannot see what another CPU has on the way to a list.
        lru_add_drain_all(cpu(0), bench_.kernel.state());
        for (NodeId nid = 0; nid < 2; ++nid) {
            ReclaimControl control;
            control.nid = nid;
            bench_.kernel.reclaim_pages(cpu(0), control);
        }
        lru_add_drain_all(cpu(0), bench_.kernel.state());
        std::string result = disagreements();
        // The top tables of the mms are all that may be left.
        if (books_.used_frames() != holders_.mms.size())
            result +=
                "leaked frames: " + std::to_string(books_.used_frames() - holders_.mms.size()) +
                "\n";
        for (const Mm* mm : holders_.mms)
            if (bench_.client.active_sections(mm->context.id))
                result += "open section of mm " + std::to_string(mm->context.id) + "\n";
        return result;
    }

private:
    struct Process {
        Mm* mm = nullptr;
        std::array<Task*, 2> threads{};
    };

    /// fork() always gets the memory for the counts of the swap entries that it copies.
    static bool forks(std::uint64_t seed) { return seed % 4 != 0; }

    static KernelBench::Config config(InjectedFault fault, SwapDevice swap_device,
                                      std::uint64_t seed) {
        KernelBench::Config result;
        result.cpus = kCpus + 1;
        result.memcgs = 2;
        result.swap_device = swap_device;
        result.swap_slots = 40;                           // sometimes full
        if (!forks(seed)) result.swap_max_map_count = 1;  // no memory for higher counts
        result.slab_lines = 8192;
        result.fault = fault;
        return result;
    }

    static VirtAddr page(std::uint64_t index) { return KernelBench::page(kFirst + index); }
    static VirtRange range(std::uint64_t pages, std::uint64_t first) {
        return KernelBench::range(pages, kFirst + first);
    }
    /// A few pages from there on, within the place for mappings.
    VirtRange some_pages(std::uint64_t first) {
        return range(std::min(below(6) + 1, kPages - first), first);
    }

    Cpu& cpu(CpuId id) { return bench_.cpu(id); }
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    // ---- who runs where ----

    Task& new_task(Mm* mm) {
        Task& task = tasks_.emplace_back();
        task.mm = mm;
        holders_.tasks.push_back(&task);
        return task;
    }

    void run_idle(Cpu& on) {
        on.current = &new_task(nullptr);
        idle_tasks_.push_back(on.current);
    }

    void switch_to(Cpu& on, Task& task) {
        on.current = &task;
        bench_.flush.switch_mm(on, task.mm ? &task.mm->context : nullptr);
    }

    /// A CPU on which a thread of the process runs, which may have to get there first.
    Cpu& run(const Process& process) {
        std::vector<CpuId> running;
        for (CpuId id = 0; id < kCpus; ++id)
            if (cpu(id).current->mm == process.mm) running.push_back(id);
        if (running.size() < process.threads.size() && (running.empty() || below(4) == 0)) {
            const auto id = static_cast<CpuId>(below(kCpus));
            if (std::count(running.begin(), running.end(), id)) return cpu(id);
            const bool first_runs =
                !running.empty() && cpu(running.front()).current == process.threads.front();
            switch_to(cpu(id), *process.threads.at(first_runs ? 1 : 0));
            return cpu(id);
        }
        return cpu(running.at(below(running.size())));
    }

    /// A kernel thread runs next, on the mm of the last task or without one.
    void leave_cpu() {
        const auto id = static_cast<CpuId>(below(kCpus));
        if (below(2)) {
            cpu(id).current = idle_tasks_.at(id);
            bench_.flush.enter_lazy_tlb(cpu(id));
        } else {
            switch_to(cpu(id), *idle_tasks_.at(id));
        }
    }

    Process& add_process(Mm& mm) {
        holders_.mms.push_back(&mm);
        bench_.watch(mm);
        return processes_.emplace_back(Process{&mm, {&new_task(&mm), &new_task(&mm)}});
    }

    void fork(Process& parent) {
        add_process(bench_.kernel.fork(run(parent), *parent.mm, "child"));
    }

    /// Its threads exit, and the last one takes the memory with it.
    void exit(const Process& process) {
        Cpu& on = run(process);
        Mm& mm = *process.mm;
        for (Task* thread : process.threads) {
            if (thread == on.current) continue;
            Task* last = on.current;
            switch_to(on, *thread);
            sync_mm_rss(on, mm);
            thread->mm = nullptr;
            for (CpuId id = 0; id < kCpus; ++id)
                if (cpu(id).current == thread && id != on.id())
                    switch_to(cpu(id), *idle_tasks_.at(id));
            switch_to(on, *last);
        }
        bench_.kernel.exit(on, mm);
        on.current = idle_tasks_.at(on.id());
        processes_.erase(std::find_if(processes_.begin(), processes_.end(),
                                      [&](const Process& other) { return other.mm == &mm; }));
    }

    void fork_or_exit(Process& process) {
        if (processes_.size() == kProcesses || (processes_.size() > 1 && below(3) == 0))
            exit(process);
        else
            fork(process);
    }

    // ---- operations ----

    void touch_some(Cpu& on, const Process& process, std::uint64_t first) {
        const std::uint64_t end = std::min(first + below(8) + 1, kPages);
        for (std::uint64_t index = first; index < end; ++index)
            bench_.kernel.touch(on, *process.mm, page(index),
                                below(2) ? Access::kWrite : Access::kRead);
    }

    void reclaim() {
        ReclaimControl control;
        control.nid = static_cast<NodeId>(below(2));
        if (below(2)) control.memcg = static_cast<unsigned>(below(2));
        control.from = static_cast<ReclaimFrom>(below(3));
        control.nr_to_reclaim = below(16) + 1;
        control.nr_to_scan = below(32) + 1;
        control.aging = below(4) ? Aging::kAllowed : Aging::kForbidden;
        // kswapd does not reclaim groups.
        if (!control.memcg && below(2)) control.reclaimer = Reclaimer::kKswapd;
        bench_.kernel.reclaim_pages(cpu(static_cast<CpuId>(below(kCpus))), control);
    }

    void move_some(const Process& process, std::uint64_t first) {
        std::vector<VirtAddr> addresses;
        for (std::uint64_t i = 0; i <= below(4); ++i) addresses.push_back(page(first + i));
        bench_.kernel.move_pages(cpu(static_cast<CpuId>(below(kCpus))), *process.mm, addresses,
                                 static_cast<NodeId>(below(2)),
                                 below(2) ? MoveShared::kYes : MoveShared::kNo);
    }

    void oom_reap(const Process& process) {
        const auto id = static_cast<CpuId>(below(kCpus));
        switch_to(cpu(id), *idle_tasks_.at(id));
        CHECK(bench_.kernel.oom_reap(cpu(id), *process.mm).reaped);
    }

    void lock_some(Cpu& on, const Process& process, VirtRange range) {
        if (below(2))
            bench_.kernel.munlock(on, *process.mm, range);
        else
            bench_.kernel.mlock(on, *process.mm, range,
                                below(4) ? MlockFlags::kNone : MlockFlags::kOnFault);
    }

    void mark_idle(const Process& process, std::uint64_t index) {
        Cpu& on = cpu(static_cast<CpuId>(below(kCpus)));
        const Pte pte = bench_.pte(*process.mm, kFirst + index);
        if (!pte.present()) return;
        const FrameNumber first{pte.frame().value / kBitmapChunkBits * kBitmapChunkBits};
        if (below(2))
            bench_.kernel.page_idle_bitmap_write(on, first, random_());
        else
            bench_.kernel.page_idle_bitmap_read(on, first);
    }

    void write_back_or_free_some(Cpu& on, const Process& process, std::uint64_t first) {
        AddressSpace& file = *holders_.files.at(below(holders_.files.size()));
        const std::uint64_t index = below(kFilePages);
        switch (below(5)) {
            case 0:
                bench_.kernel.fsync(on, file);
                break;
            case 1:
                bench_.kernel.msync(on, *process.mm, some_pages(first));
                break;
            case 2:
                bench_.kernel.fallocate_punch_hole(
                    on, file, {index, std::min(index + below(6), kFilePages - 1)});
                break;
            case 3:
                bench_.kernel.truncate(on, file, below(3) ? kFilePages : index);
                break;
            default:
                bench_.kernel.madvise(on, *process.mm, some_pages(first), Madvise::kRemove);
        }
    }

    void protect_some(Cpu& on, const Process& process, VirtRange range) {
        constexpr std::uint64_t kReadWrite = VmFlags::kRead | VmFlags::kWrite;
        static constexpr std::uint64_t kProtections[] = {
            0, VmFlags::kRead, VmFlags::kRead | VmFlags::kExec, kReadWrite, kReadWrite, kReadWrite};
        bench_.kernel.mprotect(on, *process.mm, range, kProtections[below(6)]);
    }

    void remap_some(Cpu& on, const Process& process, std::uint64_t first) {
        MremapRequest request{some_pages(first), below(6) + 1, {}};
        const Vma* vma = process.mm->find_vma(request.old_range.start);
        const std::uint64_t to = below(kPages);
        if (below(2)) {
            request.new_address = page(to);
            if (to + request.new_pages > kPages) return;
        } else if (vma) {  // it can grow at its end
            request.old_range = {page(first), std::min(vma->vm_end, page(kPages))};
            request.new_pages = request.old_range.pages() + below(5);
            if (first + request.new_pages > kPages) return;
        }
        if (vma && vma->vm_file &&
            vma->page_index(page(first)) + request.new_pages > vma->vm_file->pages)
            return;
        bench_.kernel.mremap(on, *process.mm, request);
    }

    /// Memory of 2 MiB takes its whole page table along.
    void move_large(Cpu& on, const Process& process) {
        const auto place = [&] { return KernelBench::range(kLargePages, kLarge[below(3)]); };
        const VirtRange from = place(), to = place();
        if (!process.mm->find_vma(from.start)) bench_.kernel.mmap_anon(on, *process.mm, from);
        for (unsigned i = 0; i < 4; ++i)
            bench_.kernel.touch(on, *process.mm, from.start + below(kLargePages) * kPageSize,
                                Access::kWrite);
        if (!(from == to)) bench_.kernel.mremap(on, *process.mm, {from, kLargePages, to.start});
    }

    void map_some(Cpu& on, const Process& process, std::uint64_t first) {
        if (below(2)) return map_file(on, process, first);
        const std::uint64_t stack = below(4) ? 0 : VmFlags::kGrowsDown;
        const std::uint64_t pages = std::min(below(16) + 1, kPages - first);
        bench_.kernel.mmap_anon(on, *process.mm, range(pages, first), stack);
    }

    /// A part of a file, which may be shorter by now.
    void map_file(Cpu& on, const Process& process, std::uint64_t first) {
        AddressSpace& file = *holders_.files.at(below(holders_.files.size()));
        const std::uint64_t pgoff = below(kFilePages);
        const std::uint64_t pages = std::min(below(kFilePages - pgoff) + 1, kPages - first);
        bench_.kernel.mmap_file(on, *process.mm, range(pages, first), file, pgoff,
                                below(2) ? Kernel::Sharing::kShared : Kernel::Sharing::kPrivate);
    }

    /// A secondary MMU takes a reference.
    void pin_some(Cpu& on, const Process& process, std::uint64_t index) {
        if (holders_.pins.size() > 8) return;
        const auto got = bench_.kernel.get_user_page(on, process.mm->context.id, page(index),
                                                     below(2) ? Access::kWrite : Access::kRead);
        if (got && got->frame != bench_.kernel.state().zero_page) ++holders_.pins[got->frame];
    }

    void unpin_one() {
        if (holders_.pins.empty()) return;
        const auto pin = std::next(holders_.pins.begin(),
                                   static_cast<std::ptrdiff_t>(below(holders_.pins.size())));
        bench_.kernel.put_page(cpu(static_cast<CpuId>(below(kCpus))), pin->first);
        if (--pin->second == 0) holders_.pins.erase(pin);
    }

    std::mt19937_64 random_;
    const bool forks_;
    KernelBench bench_;
    Holders holders_;
    Books books_;
    std::deque<Process> processes_;
    std::deque<Task> tasks_;
    std::vector<Task*> idle_tasks_;  ///< per CPU
};

/// For each kind of machine: 1,000,000 in the long size, 20,000 by default and 2,000 in the small
/// one, for both kinds together.
std::uint64_t operations() { return mmusim::test::test_size(10'000, 1'000, 500'000); }

/// Operations on machines of one kind. After each of them all books are balanced and the reverse
/// map of every page is walked: what is wrong may be right again one operation later. Returns the
/// first that does not agree; "" if everything always did.
std::string disagreement_of(std::uint64_t operations, SwapDevice swap_device) {
    for (std::uint64_t seed = 1; operations > 0; ++seed) {
        Machine machine(seed, InjectedFault::kNone, swap_device);
        const std::string start = "seed " + std::to_string(seed);
        for (std::uint64_t i = 1; i <= kOperationsPerMachine && operations > 0; ++i, --operations) {
            machine.step();
            const std::string found = machine.disagreements();
            if (!found.empty()) return start + ", operation " + std::to_string(i) + ": " + found;
        }
        const std::string found = machine.disagreements_at_end();
        if (!found.empty()) return start + ", at the end: " + found;
    }
    return "";
}

}  // namespace

TEST_CASE("engine: all books agree after each operation with swap in memory", "[unit][rmap]") {
    CHECK(disagreement_of(operations(), SwapDevice::kZram) == "");
}

TEST_CASE("engine: all books agree after each operation with swap on a disk", "[unit][rmap]") {
    CHECK(disagreement_of(operations(), SwapDevice::kDisk) == "");
}

TEST_CASE("engine: all books agree whatever is wrong with notifier sections", "[unit][rmap]") {
    for (const InjectedFault fault :
         {InjectedFault::kClearOutsideSection, InjectedFault::kEndWithoutStart,
          InjectedFault::kEndAfterRefusal, InjectedFault::kStartUnderLock,
          InjectedFault::kUnlockInsideSection, InjectedFault::kFreeBeforeSection,
          InjectedFault::kSkipInvalidateRange, InjectedFault::kOnlyEnd,
          InjectedFault::kInvalidateBeforeClear, InjectedFault::kSkipSecondaryAging,
          InjectedFault::kSecondSection})
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
            CAPTURE(static_cast<unsigned>(fault), seed);
            Machine machine(seed, fault);
            for (unsigned i = 0; i < 400; ++i) {
                CAPTURE(i);
                machine.step();
                if (i % 40 == 0) REQUIRE(machine.disagreements() == "");
            }
            REQUIRE(machine.disagreements_at_end() == "");
        }
}
