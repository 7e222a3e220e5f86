// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/range_set.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N9: a client that counts open sections raises its count before it removes its entries, both
/// inside its start callback; the removal, secondary TLB flush included, is complete before the
/// callback returns, and all callbacks have returned before START does. A flush is complete for a
/// vCPU only if that was not in guest mode, or was kicked and has left it.
///
/// A kicked vCPU has left when it says so, or when its CPU acknowledges the kick, whichever the
/// stream shows first: the handler of that interrupt runs outside the guest, and the kicker waits
/// for its acknowledgement. A vCPU's CPU is known from its entries and exits; an acknowledgement by
/// another CPU stands for one kicked vCPU that has not been seen yet.
class ClientStartMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Key = std::pair<rmap::ActorId, std::uint64_t>;   ///< CPU, client
    using Vcpu = std::pair<std::uint64_t, std::uint64_t>;  ///< VM, number
    struct Callback {
        rmap::VirtRange range{};
        rmap::Instant time;
        bool counted = false;
        bool removed_early = false;  ///< before it had counted
        RangeSet removed{};
        std::optional<std::uint64_t> running_vcpu{};  ///< that was left in guest mode
        std::set<Vcpu> kicked{};                      ///< and not known to have left it
    };

    /// The callback that `cpu` is in; null if it is in none.
    Callback* callback_of(rmap::ActorId cpu);
    void advance(const rmap::EventRecord& record, Findings& findings);
    void request(const rmap::EventRecord& record);
    void leave(Vcpu vcpu);
    void acknowledge(const rmap::EventRecord& record);
    void finish_callback(const rmap::EventRecord& record, Findings& findings);
    void finish_start(const rmap::EventRecord& record, Findings& findings);

    std::map<Key, Callback> running_;
    BoundedMap<Vcpu, rmap::ActorId> cpus_;  ///< where it was seen last
};

}  // namespace mmusim::platform
