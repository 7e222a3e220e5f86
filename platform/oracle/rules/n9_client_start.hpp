// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "platform/oracle/monitor.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N9: a client that counts open sections raises its count before it removes its entries, both
/// inside its start callback; the removal, secondary TLB flush included, is complete before the
/// callback returns, and all callbacks have returned before START does. A flush is complete for a
/// vCPU only if that was not in guest mode, or has been made to leave it.
class ClientStartMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Key = std::pair<rmap::ActorId, std::uint64_t>;  ///< CPU, client
    struct Callback {
        rmap::VirtRange range{};
        rmap::Instant time;
        bool counted = false;
        bool removed = false;
        bool removed_early = false;  ///< before it had counted
        rmap::VirtRange removed_range{};
        std::optional<std::uint64_t> running_vcpu{};  ///< that was left in guest mode
    };

    void request(const rmap::EventRecord& record);
    void finish_callback(const rmap::EventRecord& record, Findings& findings);
    void finish_start(const rmap::EventRecord& record, Findings& findings);

    std::map<Key, Callback> running_;
};

}  // namespace mmusim::platform
