// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "platform/conform/capture.hpp"
#include "platform/conform/conform.hpp"

namespace mmusim::platform {

/// The first difference of a replay, with both sequences around it.
struct DifferenceReport {
    std::string what;
    std::string place;  ///< "FILE:LINE" of the event that was expected
    rmap::CpuId cpu = 0;
    std::vector<std::string> before;  ///< events of that CPU that both sides have
    std::vector<std::string> theirs;  ///< from the difference on
    std::vector<std::string> ours;
};

/// What became of one capture, for people and machines.
struct CaptureReport {
    std::string scenario;
    /// Why it was not replayed; kReplayed: it was.
    enum class Status { kReplayed, kNotModelled, kUnreadable };
    Status status = Status::kReplayed;
    std::string reason;
    ConformCounts counts;
    std::vector<DifferenceReport> difference;  ///< at most one

    bool conforms() const { return status == Status::kReplayed && difference.empty(); }
};

CaptureReport report_of(const Capture& capture, const ConformResult& result);

/// Both directions, for the way between processes and for --format json.
nlohmann::ordered_json to_json(const CaptureReport& report);
CaptureReport capture_report(const nlohmann::ordered_json& json);

/// One line, and behind it both sides of a difference next to each other.
std::string to_text(const CaptureReport& report);

}  // namespace mmusim::platform
