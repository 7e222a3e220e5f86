// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "models/observe/settled_stream.hpp"
#include "platform/oracle/recent.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

using RecentRecords = Recent<rmap::EventRecord>;

/// What notifiers, their clients and the hardware behind these did, for explaining a stale
/// translation of a secondary MMU afterwards.
class SecondaryHistory final : public models::EventSink {
public:
    static constexpr std::size_t kKept = 65536;  ///< of each sort

    static const std::vector<rmap::Event>& events();
    void on_record(const rmap::EventRecord& record) override;

    /// kMnStartRet, kMnEnd.
    const RecentRecords& sections() const { return sections_; }
    /// kClientInvalidate, kClientInvalidateRet.
    const RecentRecords& calls() const { return calls_; }
    /// kSpteSet, kSpteClear, kKvmHvaToPfn.
    const RecentRecords& entries() const { return entries_; }
    /// kKvmFlushRemoteTlbs, kKvmFlushRemoteTlbsRet, kKvmMakeRequest.
    const RecentRecords& flushes() const { return flushes_; }
    /// kKvmEntry, kVmExit, kKvmTlbFlush of a VM.
    const RecentRecords& vcpus(std::uint64_t vm) const;
    /// kIotlbInvalidated, kAtcInvalidated, kAtsInvalidateCompletion.
    const RecentRecords& hardware() const { return hardware_; }

private:
    RecentRecords sections_{kKept};
    RecentRecords calls_{kKept};
    RecentRecords entries_{kKept};
    RecentRecords flushes_{kKept};
    RecentRecords hardware_{kKept};
    std::map<std::uint64_t, RecentRecords> vcpus_;  ///< by VM
};

}  // namespace mmusim::platform
