// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/oracle/hazard_monitor.hpp"

namespace mmusim::platform {

/// HZ16: a gather of a whole mm has invalidated [~0, ~0) in the secondary MMUs, which is nothing,
/// instead of everything. AMD flushes one unrelated page; Intel asks for the next power of two of 0
/// pages, which is undefined.
class EmptyInvalidationMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;
};

}  // namespace mmusim::platform
