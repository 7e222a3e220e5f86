// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::models {

/// Fault reasons of scalable mode (Intel VT-d, 7.1.3).
enum class FaultReason : std::uint8_t {
    kNone = 0,
    kRootNotPresent = 0x39,
    kContextNotPresent = 0x41,
    kDeviceTlbDisabled = 0x44,
    kPasidDisabled = 0x45,
    kDirectoryNotPresent = 0x51,
    kPasidNotPresent = 0x59,
    kPasidInvalid = 0x5b,  ///< not set up for first-level translation
    kFirstLevelNotPresent = 0x71,
    kNoWritePermission = 0x85,
};

/// Of a translation request, such a fault is in the answer to the device, which could ask for the
/// page, and is not reported to software (recoverable faults, Intel VT-d, 7). The others are of the
/// tables that say what the device may do at all.
constexpr bool is_recoverable(FaultReason reason) {
    return reason == FaultReason::kDirectoryNotPresent || reason == FaultReason::kPasidNotPresent ||
           reason == FaultReason::kFirstLevelNotPresent ||
           reason == FaultReason::kNoWritePermission;
}

struct FaultRecord {
    rmap::SourceId source = 0;
    rmap::Pasid pasid = 0;
    rmap::VirtAddr address{};  ///< of the page
    FaultReason reason{};
    rmap::Access access{};
    rmap::Instant time;
};

/// The fault recording registers (Intel VT-d, 11.4.14) as they fill up. When all are taken, further
/// faults are lost and the overflow bit is set (7.2.1).
class FaultRecorder {
public:
    explicit FaultRecorder(std::size_t registers) : registers_(registers) {}

    void record(const FaultRecord& fault) {
        if (records_.size() < registers_)
            records_.push_back(fault);
        else
            overflow_ = true;
    }

    const std::vector<FaultRecord>& records() const { return records_; }
    bool overflow() const { return overflow_; }

private:
    const std::size_t registers_;
    std::vector<FaultRecord> records_;
    bool overflow_ = false;
};

}  // namespace mmusim::models
