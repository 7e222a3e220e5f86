// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/report/run_result.hpp"

namespace mmusim::test {

/// Seven unmaps in two batches; times chosen so that neither shares nor nanoseconds come out even.
inline platform::RunResult sample_result() {
    using rmap::Part;
    platform::RunResult result;
    result.simulated = rmap::picoseconds(12'345'678'901);
    platform::OperationStats batch;
    batch.kind = rmap::OperationKind::kShrinkPageList;
    batch.pages = 7;
    batch.latency_ps = {20'000'001, 10'000'000};
    batch.parts[Part::kWriteback] = {20'000'000};
    batch.parts[Part::kHandler] = {10'000'001};
    platform::OperationStats unmap;
    unmap.kind = rmap::OperationKind::kUnmap;
    unmap.pages = 7;
    unmap.abandoned = 3;
    unmap.latency_ps = {7'000, 1'001, 2'000, 3'000, 4'000, 5'000, 6'000};
    unmap.parts[Part::kRmapWalk] = {9'333};
    unmap.parts[Part::kIpiDelivery] = {9'334};
    unmap.parts[Part::kAck] = {9'334};
    result.operations = {batch, unmap};
    result.counters = {{"flush_ipi_sent", 1234},
                       {"flush_local", 2},
                       {"flush_remote", 5},
                       {"flush_full", 3},
                       {"flush_partial", 4}};
    result.tlbs = {{"core0.l1_tlb", 1000, 900, 100, 7}, {"core1.l1_tlb", 1000, 1000, 0, 8}};
    result.walks = 50;
    result.walk_reads = 200;
    result.memory["child"] = {{"VmRSS_kb", 512}, {"VmSwap_kb", 0}, {"memcg_pgfault", 7}};
    result.memory["main"] = {{"VmRSS_kb", 2048}, {"VmPeak_kb", 4096}, {"memcg_pgfault", 7}};
    result.oracle.checked = 2000;
    result.oracle.rules = {{"T5", 12, 0}, {"T6", 7, 0}, {"walk-equivalence", 34, 0}};
    result.quantum.automatic = rmap::nanoseconds(24);
    return result;
}

inline platform::Violation sample_violation() {
    platform::Violation violation;
    violation.rule = "stale-translation";
    violation.time = {123'456'789};
    violation.agent = "core3.l1_tlb";
    violation.translation = "mm 2 va 0x100000003000 -> pfn 0x1a2b gen 4";
    violation.entry_age = rmap::picoseconds(1'500);
    violation.operation_name = "unmap 0.17 in shrink_page_list 0.3";
    violation.missing = "batch flush of mm 2 on cpu 3";
    violation.window = rmap::nanoseconds(345);
    return violation;
}

}  // namespace mmusim::test
