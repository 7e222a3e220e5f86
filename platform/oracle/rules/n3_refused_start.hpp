// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <tuple>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/sections.hpp"

namespace mmusim::platform {

/// N3: a section whose START a client has refused is not open, so it has no END. An END of the same
/// range belongs to another section of the CPU, if it has one.
class RefusedStartMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override { return Sections::events(); }
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Key = std::tuple<rmap::ActorId, rmap::MmId, std::uint64_t, std::uint64_t>;

    Sections sections_;
    BoundedMap<Key, rmap::Instant> refused_;
};

}  // namespace mmusim::platform
