// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <tuple>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/unnotified_clears.hpp"

namespace mmusim::platform {

/// N14: a section may end without invalidate_range only if every entry that its CPU has cleared in
/// the range since START had its invalidate_range, or its old value back.
class OnlyEndMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override { return UnnotifiedClears::events(); }
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Key = std::tuple<rmap::ActorId, rmap::MmId, std::uint64_t, std::uint64_t>;

    void judge(const rmap::EventRecord& record, Findings& findings);

    UnnotifiedClears clears_;
    BoundedMap<Key, UnnotifiedClears::Id> starts_;  ///< clears from there on are the section's
};

}  // namespace mmusim::platform
