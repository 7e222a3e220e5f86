// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "notifiers/clients/recording_client.hpp"
#include "notifiers/notifier_chain.hpp"
#include "rmap/flush/x86_flush.hpp"
#include "rmap/kernel.hpp"
#include "rmap/unmap/ttu_flags.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

namespace mmusim::test {

/// The whole engine over plain ports: the x86 flush code, a notifier chain, two nodes of memory.
/// CPU 0 has node 0, all others node 1. CPU 0 is the one that operates; interrupts are served at
/// once.
class KernelBench {
public:
    static constexpr rmap::VirtAddr kBase{0x100000000000};
    static constexpr rmap::FrameNumber kNode0{0x1000};
    static constexpr rmap::FrameNumber kNode1{0x80000};

    struct Config {
        unsigned cpus = 2;
        std::uint64_t swap_slots = 4096;
        unsigned swap_max_map_count = 0xffff;
        rmap::SwapDevice swap_device = rmap::SwapDevice::kZram;
        unsigned memcgs = 1;
        std::uint64_t frames_per_node = 0x4000;
        std::uint64_t slab_lines = rmap::MemoryLayout{}.slab_lines;
        std::uint64_t swap_cluster_max = 32;
        rmap::InjectedFault fault = rmap::InjectedFault::kNone;
    };

    KernelBench() : KernelBench(Config{}) {}
    explicit KernelBench(const Config& config);

    rmap::Cpu& cpu(rmap::CpuId id = 0) { return machine.cpu(id); }
    RecordingTrace& trace() { return machine.trace(); }

    /// `pages` pages from kBase on.
    static rmap::VirtRange range(std::uint64_t pages, std::uint64_t first = 0) {
        return {page(first), page(first + pages)};
    }
    static rmap::VirtAddr page(std::uint64_t index) { return kBase + index * rmap::kPageSize; }

    /// A task of `mm` runs on the CPU from now on.
    void run(rmap::CpuId id, rmap::Mm& mm);
    /// A kernel thread does, without an mm.
    void run_kernel_thread(rmap::CpuId id);
    /// An mm with `pages` private pages, written, not young, on the inactive list; it runs on the
    /// given CPUs. The trace is empty afterwards.
    rmap::Mm& anon_mm(std::uint64_t pages, std::initializer_list<rmap::CpuId> cpus,
                      const rmap::Populate& how = kColdDirty);
    static constexpr rmap::Populate kColdDirty{rmap::Access::kWrite, rmap::AccessedBits::kCleared,
                                               rmap::DirtyBits::kAsFaulted,
                                               rmap::LruPlacement::kInactive};
    static constexpr rmap::Populate kColdRead{rmap::Access::kRead, rmap::AccessedBits::kCleared,
                                              rmap::DirtyBits::kAsFaulted,
                                              rmap::LruPlacement::kInactive};
    static constexpr rmap::Populate kColdCleaned{rmap::Access::kWrite, rmap::AccessedBits::kCleared,
                                                 rmap::DirtyBits::kCleared,
                                                 rmap::LruPlacement::kInactive};

    void watch(const rmap::Mm& mm) { chain.register_client(mm.context.id, client); }

    rmap::Pte pte(rmap::Mm& mm, std::uint64_t index) {
        const auto word = kernel.read_pte(cpu(), mm, page(index));
        return word ? rmap::pte_of(*word) : rmap::Pte{};
    }
    /// lru_add_drain_all(): what was faulted in or put back is on its list then.
    void drain() { rmap::lru_add_drain_all(cpu(), kernel.state()); }
    /// The page that is mapped there; a failed check if none is.
    rmap::Page& mapped_page(rmap::Mm& mm, std::uint64_t index);
    /// Locks and isolates it as reclaim would before try_to_unmap().
    rmap::Page& isolate(rmap::Mm& mm, std::uint64_t index);
    bool try_to_unmap(rmap::Page& page, rmap::TtuFlags flags);

    std::uint64_t tlb_gen(const rmap::Mm& mm) { return machine.memory()[mm.context.tlb_gen].value; }

    /// Everything between the entry and the return of one function of CPU 0, in the notation of the
    /// kernel reference: "MN.START, PTL+, PTE.CLR, ...".
    std::string canonical(rmap::Event entry, rmap::Event exit) const;
    std::string canonical_unmap_one() const {
        return canonical(rmap::Event::kTryToUnmapOne, rmap::Event::kTryToUnmapOneRet);
    }
    /// Log names of CPU 0 that are kept by `keep`, joined by blanks.
    std::string order(std::initializer_list<rmap::Event> keep) const;
    /// The value of one argument in all records of an event, in order.
    std::vector<std::uint64_t> values(rmap::Event event, std::string_view argument) const;

    PlainMachine machine;
    rmap::KernelMemory memory;
    rmap::CallFunction calls;
    rmap::X86Flush flush;
    notifiers::NotifierChain chain;
    notifiers::RecordingClient client;
    rmap::Kernel kernel;

private:
    std::deque<rmap::Task> tasks_;  ///< one per CPU
};

}  // namespace mmusim::test
