// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <tuple>

#include "platform/oracle/monitor.hpp"

namespace mmusim::platform {

/// N2: exactly one END per START with the same mm, start and end, and no END without START. A START
/// that may not block can fail, so its END may be missing. Sections still open when the stream
/// ends, or after kMonitorCapacity later ones, have lost their END.
class PairedSectionsMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;
    void finish(rmap::Instant end, Findings& findings) override;

private:
    using Section = std::tuple<rmap::MmId, std::uint64_t, std::uint64_t>;
    using Started = std::list<rmap::EventRecord>;

    void start(const rmap::EventRecord& record, Findings& findings);
    void end(const rmap::EventRecord& record, Findings& findings);
    void lose_oldest(rmap::Instant end, Findings& findings);

    Started started_;  ///< the START of every open section, oldest first
    std::map<Section, std::deque<Started::iterator>> open_;
};

}  // namespace mmusim::platform
