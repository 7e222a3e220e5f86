// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "tests/unit/rmap/kernel_bench.hpp"

namespace mmusim::test {

/// A file that processes map, shared, from KernelBench::kBase on: a parent and its children, one on
/// each of the given CPUs. All of them have touched its pages, which are not young and on the
/// inactive lists. The trace is empty at first.
class FileBench : public KernelBench {
public:
    FileBench(rmap::FileKind kind, std::uint64_t pages, std::initializer_list<rmap::CpuId> cpus,
              const rmap::Populate& how = kColdDirty, Config config = {});

    /// The events of CPU 0 that captures show, between two of them, besides those in `without`.
    std::string captured(rmap::Event after, rmap::Event before,
                         std::initializer_list<rmap::Event> without = {}) const;
    /// KernelBench::order() of another CPU.
    std::string order_of(rmap::CpuId id, std::initializer_list<rmap::Event> keep) const;

    rmap::AddressSpace& file;
    std::vector<rmap::Mm*> mms;  ///< the parent first
};

}  // namespace mmusim::test
