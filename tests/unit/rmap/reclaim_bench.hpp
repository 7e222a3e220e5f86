// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/reclaim/reclaim.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

// Whose pages the cases of reclaim take, and with which control.

namespace mmusim::test {

inline rmap::ReclaimControl on_node(rmap::NodeId nid) {
    rmap::ReclaimControl control;
    control.nid = nid;
    return control;
}

/// Two processes with cold pages of their own, each running on its CPU.
struct TwoMms {
    TwoMms(KernelBench& bench, std::uint64_t pages, const rmap::Populate& how)
        : first(bench.anon_mm(pages, {1}, how)), second(bench.anon_mm(pages, {2}, how)) {}

    rmap::Mm& first;
    rmap::Mm& second;
};

inline KernelBench::Config three_cpus(rmap::InjectedFault fault = rmap::InjectedFault::kNone) {
    KernelBench::Config config;
    config.cpus = 3;
    config.fault = fault;
    return config;
}

/// Shared file pages of one process that ran on CPU 1.
inline rmap::Mm& file_mm(KernelBench& bench, std::uint64_t pages) {
    auto& file = bench.kernel.create_file("file", pages);
    rmap::Mm& mm = bench.kernel.create_mm(bench.cpu(), "main");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(pages), file);
    bench.kernel.populate(bench.cpu(), mm, bench.range(pages), KernelBench::kColdRead);
    bench.run(1, mm);
    bench.trace().clear();
    return mm;
}

}  // namespace mmusim::test
