// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "platform/oracle/hazard_monitor.hpp"

namespace mmusim::platform {

/// HZ5: one client has refused a START that may not block, and others had accepted it, before or
/// after that one: all are called. None of them gets an END, so they stay in the section. A client
/// accepts with client_start; the one that refuses has none.
class AcceptedStartMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    std::map<rmap::ActorId, std::vector<std::uint64_t>> accepted_;  ///< by CPU: in its open START
};

}  // namespace mmusim::platform
