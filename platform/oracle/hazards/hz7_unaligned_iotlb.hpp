// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "platform/oracle/hazard_monitor.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// What the descriptor of Intel SVM's invalidate_range covers in the IOTLB: the kernel asks for the
/// next power of two of pages from the start of the range on, and the hardware takes the naturally
/// aligned block of that size. `range` is not empty.
rmap::VirtRange svm_iotlb_block(rmap::VirtRange range);

/// HZ7: that block ends before the range does. The IOTLB, and the walk caches, may keep the rest;
/// the devices' own TLBs are asked for all of it and can fill themselves from the IOTLB again.
/// Counts the calls of invalidate_range. What is used through the rest is found by its use.
class UnalignedIotlbMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    std::map<rmap::ActorId, rmap::EventRecord> calls_;  ///< by CPU: client_invalidate, not counted
};

}  // namespace mmusim::platform
