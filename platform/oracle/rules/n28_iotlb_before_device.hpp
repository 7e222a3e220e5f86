// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "platform/oracle/monitor.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N28: within a client's invalidate_range, the IOTLB is invalidated before a device is asked to
/// invalidate its own TLB, or the device could fill it again from the IOTLB; and the devices have
/// answered before the callback returns. Hardware events belong to the callback of their operation
/// whose range they touch. Whether an IOTLB invalidation covers the whole range is not judged: the
/// kernel's own does not always (hazard HZ7).
class IotlbBeforeDeviceMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    struct Request {
        std::uint64_t device = 0;
        std::uint64_t pasid = 0;
        rmap::VirtRange range{};
        rmap::Instant time;
    };
    struct Callback {
        std::uint64_t client = 0;
        rmap::MmId mm = 0;
        rmap::VirtRange range{};
        rmap::OperationId operation = 0;
        std::set<std::uint64_t> iotlb;  ///< PASIDs of which the IOTLB is invalidated
        std::vector<Request> unanswered;
    };

    /// The callback that caused what a unit or device did to `range`; null if it has returned.
    Callback* cause_of(const rmap::EventRecord& record, rmap::VirtRange range);
    void request(const rmap::EventRecord& record, Findings& findings);
    void answer(const rmap::EventRecord& record);
    void judge_return(const rmap::EventRecord& record, Findings& findings);

    std::map<rmap::ActorId, Callback> callbacks_;  ///< by CPU
};

}  // namespace mmusim::platform
