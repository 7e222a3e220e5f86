// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"

namespace mmusim::platform {

/// One argument of an event: as it stands in the file, and as a number where it is one.
struct CaptureArgument {
    std::string name;
    std::string text;
    std::optional<std::uint64_t> number;
};

/// One line of a capture: an event of a real kernel.
struct CaptureEvent {
    std::uint64_t t = 0;  ///< place in the one order of all CPUs
    rmap::CpuId cpu = 0;  ///< that was running
    std::string task;
    bool irq = false;  ///< in hard-interrupt context
    std::string name;
    std::vector<CaptureArgument> arguments;  ///< all others, in the order of the file
    unsigned line = 0;

    const CaptureArgument* find(std::string_view argument) const;
    /// The number of an argument; 0 if there is none of that name.
    std::uint64_t number(std::string_view argument) const;
    std::string text(std::string_view argument) const;
};

/// A process or thread of the captured scenario, and where it ran.
struct CaptureTask {
    std::string name;
    rmap::CpuId cpu = 0;
};

/// A page of the target as it was before the operation.
struct CapturePage {
    unsigned process = 0;  ///< 0 = main, 1 = p1 ...
    std::uint64_t index = 0;
    std::optional<std::uint64_t> pfn;  ///< none: not present
};

/// A capture of one scenario (captures/README.md, "File format"): what was run, and the events of
/// the operation, first OP_BEGIN and last OP_END included.
struct Capture {
    std::string file;
    std::string scenario;
    std::string kernel;
    std::map<std::string, std::string> args;
    std::map<std::string, std::string> boot;  ///< kernel command line: key=value
    std::vector<CaptureTask> processes;
    std::vector<CaptureTask> threads;          ///< of main
    std::map<std::uint64_t, std::string> mms;  ///< pointer of an mm: process
    rmap::VirtRange target{};
    std::vector<CapturePage> pages_before;
    /// The address space that a CPU had loaded when the operation began, as far as events before it
    /// tell.
    std::map<rmap::CpuId, std::uint64_t> loaded_before;
    std::map<std::string, std::uint64_t> left_out;  ///< events that are not in the file, by kind
    /// The last tlb_gen that a flush of an mm carried before the operation.
    std::map<std::uint64_t, std::uint64_t> generation_before;
    std::vector<CaptureEvent> events;
    /// Whether a flusher thread of the kernel, which is not of the scenario, has written pages
    /// back. In the kernel it shares the scenario's CPUs, and goes on whenever somebody else there
    /// gives way; as none of its steps depends on where it runs, its events are of a CPU of its
    /// own.
    bool has_flusher = false;
    static constexpr rmap::CpuId kFlusherCpu = 4;

    /// The mm of one of the processes, or of a thread of main; 0: the operator's, or of none.
    std::uint64_t mm_of_task(const std::string& task) const;
    /// "FILE:LINE".
    std::string place(const CaptureEvent& event) const;
};

/// Reads a capture, plain or compressed (.xz, .gz). Throws UserError that names file and line.
Capture read_capture(const std::string& file);

/// The captures in a folder by name, or the one file. Throws UserError if there is none.
std::vector<std::string> find_captures(const std::string& folder_or_file);

}  // namespace mmusim::platform
