// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "platform/conform/capture.hpp"
#include "platform/conform/program_memory.hpp"

namespace mmusim::platform {

/// A page of the captured scenario that is not of the target but came along: of the program's own
/// data and stack, or of some file.
struct Stranger {
    enum class Kind { kAnon, kFile, kUnmapped };

    /// One VMA that a reverse-map walk of the page has visited.
    struct Visit {
        std::uint64_t mm = 0;
        std::uint64_t vma = 0;
        rmap::VirtAddr address{};
        std::uint64_t vm_flags = 0;  ///< 0: not known
        bool mapped = false;         ///< the page was mapped there when it was visited first
    };

    std::uint64_t pfn = 0;
    Kind kind = Kind::kUnmapped;
    std::vector<Visit> visits;  ///< in the order of the walk
    bool reclaimed = false;     ///< at least tried, in the end
};

/// A page of the target that the header does not list: where events have seen it first.
struct SeenTargetPage {
    std::uint64_t mm = 0;
    rmap::VirtAddr address{};
    std::uint64_t pfn = 0;
};

/// Who takes part in a capture besides what its arguments say: identities and extents only.
struct Cast {
    std::vector<Stranger> strangers;  ///< in the order of appearance
    std::vector<SeenTargetPage> target_pages;
};

/// Without what is known as the program's own memory.
Cast find_cast(const Capture& capture, const ProgramMemory& program);

}  // namespace mmusim::platform
