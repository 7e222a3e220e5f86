// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "platform/config/config_error.hpp"
#include "platform/conform/capture.hpp"

namespace mmusim::platform {

/// A capture that is in order, of something that this program does not simulate.
struct NotModelled : UserError {
    using UserError::UserError;
};

/// The arguments of the program that every captured scenario ran, with its defaults
/// (captures/README.md, "Scenario arguments").
struct WorkloadArguments {
    std::string kind = "anon";   ///< memory of the target
    std::string op = "pageout";  ///< the traced operation
    std::string prep = "none";   ///< page state before
    std::string by = "self";     ///< self: main operates; rec: a process without the mapping
    std::uint64_t np = 4;        ///< pages of the target
    unsigned procs = 1;          ///< processes that map it, forked children included
    unsigned thr = 0;            ///< threads of main that spin on other CPUs
    unsigned lazy = 0;           ///< threads that have touched the pages and sleep
    unsigned opn = 1;            ///< how often the operation is done
    std::uint64_t off = 0;       ///< first page that it is done to
    std::int64_t len = -1;       ///< how many; negative: all the rest
    unsigned young = 0;          ///< 0: accessed bits are cleared first; 1: and set again by reads
    bool wr = true;              ///< pages are written, not only read
    unsigned touch = 0;          ///< spinning threads read (1) or write (2) the pages
    bool spin = true;            ///< main busy-waits, or sleeps, while rec operates
    bool incg = true;            ///< the processes are members of the reclaimed group

    bool by_rec() const { return by == "rec"; }
    /// The part of the target that the operation is done to.
    rmap::VirtRange operated(rmap::VirtRange target) const;
};

/// Understands the arguments of a capture. Throws NotModelled for a kernel, or for memory, an
/// operation or a preparation that is not modelled, and another UserError for what the program that
/// was captured does not know either.
WorkloadArguments workload_arguments(const Capture& capture);

}  // namespace mmusim::platform
