// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rmap/types/injected_fault.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// How the threads of a process use a region while the operation runs.
enum class AccessPattern { kIdle, kSequential, kUniform };

/// Which plain notifier client is registered on a process.
enum class WatchedBy {
    kNobody,
    kRecorder,  ///< records the calls, has no hardware
    kSleeper,   ///< likewise, but has to sleep to let go of pages, as i915's userptr does
};

/// A group of equal processes, pinned to consecutive CPUs from `first_cpu` on, one process after
/// the other. Each has `threads` running threads and, on the CPUs after those, `lazy_threads` that
/// touched the pages and sleep: their CPUs run the idle task with the mm still loaded (lazy TLB). A
/// process with neither sleeps and is loaded nowhere. No CPU has two threads.
struct ProcessConfig {
    std::string name;
    unsigned count = 1;
    unsigned first_cpu = 0;
    unsigned threads = 1;
    unsigned lazy_threads = 0;
    AccessPattern pattern = AccessPattern::kUniform;
    unsigned write_percent = 0;                 ///< of the accesses
    rmap::Duration access{};                    ///< time of one access besides its translation
    std::uint64_t accesses = 0;                 ///< per thread; 0 = until the operations are done
    WatchedBy watched_by = WatchedBy::kNobody;  ///< a plain notifier client on its mm
};

/// Who uses all regions of a process besides its threads, as they do: a guest or a device.
struct MemoryUserConfig {
    std::string name;
    bool enabled = true;  ///< false: as if it were not there
    std::string process;  ///< name of a ProcessConfig with count 1
    AccessPattern pattern = AccessPattern::kUniform;
    unsigned write_percent = 0;
};

/// A guest on a VM of the platform, whose memory the regions are. Its vCPUs are threads of that
/// process, in guest mode.
struct GuestConfig : MemoryUserConfig {
    std::string vm;  ///< name of a VmConfig
    rmap::Duration access{};
    bool halted = false;  ///< touches the regions once and halts
};

/// What a device does: DMA in the address space of a process (shared virtual addressing).
struct DmaConfig : MemoryUserConfig {
    std::string device;            ///< name of a DmaDeviceConfig
    rmap::Duration gap{};          ///< from the start of one access to that of the next, at least
    rmap::Duration fault_pause{};  ///< before it goes on after an access that was not allowed
};

/// Memory of the process; a file on a disk; a memfd or another file of tmpfs.
enum class RegionKind { kAnon, kFile, kShmem };
enum class Sharing { kPrivate, kFork };

/// A mapping that every process of the group has, at the same address.
struct RegionConfig {
    std::string name;
    std::string process;  ///< name of a ProcessConfig
    RegionKind kind = RegionKind::kAnon;
    Sharing sharing = Sharing::kPrivate;  ///< anon of several processes: own pages, or forked
    std::uint64_t pages = 0;
    bool written = true;  ///< pages were written before (dirty PTEs)
    bool young = false;   ///< accessed bits set when the run begins
    bool active = true;   ///< pages begin on the active LRU list
    bool in_use = true;   ///< threads keep accessing it; else they touch it once, at the beginning
};

enum class OperationType {
    kReclaim,
    kMovePages,
    kMunmap,
    kOomReap,
    kMadviseDontneed,
    kMadviseFree,
    kMprotect,  ///< read-only, and in every other round writable again
    kMlock,
    kMunlock,
    kFork,  ///< a child is made, and exits
    kClearRefs,
    kFsync,
    kPunchHole,
};

/// Calls that work on the memory of the process that makes them.
constexpr bool is_own_call(OperationType type) {
    switch (type) {
        case OperationType::kMunmap:
        case OperationType::kMadviseDontneed:
        case OperationType::kMadviseFree:
        case OperationType::kMprotect:
        case OperationType::kMlock:
        case OperationType::kMunlock:
        case OperationType::kFork:
            return true;
        default:
            return false;
    }
}

/// Whether each round works on what has been used since the last one: the pages are gone, or nobody
/// would write to them.
constexpr bool is_for_used_pages(OperationType type) {
    switch (type) {
        case OperationType::kMunmap:
        case OperationType::kMadviseDontneed:
        case OperationType::kMadviseFree:
        case OperationType::kFork:
        case OperationType::kFsync:
        case OperationType::kPunchHole:
            return true;
        default:
            return false;
    }
}

/// What is measured. Runs on `cpu`: if a running thread of the region's process has it, that
/// thread performs the operation itself, otherwise a task without the mapping does, on a CPU that
/// has no thread. The process's own calls are always made by a thread of it.
struct OperationConfig {
    std::string name;
    OperationType type = OperationType::kReclaim;
    std::string region;
    unsigned cpu = 0;
    std::uint64_t pages = 0;  ///< per round; 0 = all pages of the region
    unsigned rounds = 1;
    rmap::Duration pause{};  ///< between rounds
    unsigned to_node = 1;    ///< of move_pages
};

struct ScenarioConfig {
    std::string name;
    std::string description;
    std::vector<ProcessConfig> processes;  ///< in the order of the file
    std::vector<RegionConfig> regions;
    std::vector<GuestConfig> guests;
    std::vector<DmaConfig> dmas;
    std::vector<OperationConfig> operations;
    rmap::InjectedFault injected_fault = rmap::InjectedFault::kNone;
};

}  // namespace mmusim::platform
