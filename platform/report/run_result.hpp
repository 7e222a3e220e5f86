// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platform/oracle/verdict.hpp"
#include "rmap/account/accountant.hpp"

namespace mmusim::platform {

/// All finished operations of one kind.
struct OperationStats {
    rmap::OperationKind kind{};
    std::uint64_t pages = 0;
    std::uint64_t abandoned = 0;            ///< begun but given up: the page was kept
    std::vector<std::uint64_t> latency_ps;  ///< of the ones done, in order of (end, actor)
    rmap::PartTimes parts;                  ///< of the ones done; adds up to the sum of latency_ps
};

struct TlbStatsRow {
    std::string name;  ///< "core3.dtlb"
    std::uint64_t lookups = 0;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t invalidated = 0;
};

/// How exact the run was: see `--quantum`.
struct QuantumReport {
    rmap::Duration automatic;  ///< least lookahead
    std::optional<rmap::Duration> requested;
    std::uint64_t switches = 0;  ///< of the simulator between threads; depends on the quantum
    std::uint64_t late_effects = 0;
    rmap::Duration worst_lateness;
    rmap::Duration bound;  ///< requested - least lookahead, if larger
};

/// Everything a run found out; what results.json and the printed report are made from.
struct RunResult {
    rmap::Duration simulated;
    bool stopped = false;                    ///< ended early, by RunOptions::stop
    std::vector<OperationStats> operations;  ///< in the order of OperationKind, only those seen
    std::map<std::string, std::uint64_t> counters;
    std::vector<TlbStatsRow> tlbs;
    std::uint64_t walks = 0;
    std::uint64_t walk_reads = 0;
    /// By process: the lines of /proc/PID/status ("VmRSS_kb"), and what was counted during the run
    /// for its memory control group, which the processes of a group share ("memcg_pgfault").
    std::map<std::string, std::map<std::string, std::uint64_t>> memory;
    OracleReport oracle;
    QuantumReport quantum;
};

}  // namespace mmusim::platform
