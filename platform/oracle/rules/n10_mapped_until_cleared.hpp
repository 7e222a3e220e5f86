// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// N10: a page that a section unmaps is not freed before its entry is cleared, so that clients find
/// it alive when START calls them. Told by generations: the entry's own has not ended in a free.
/// Judges only streams that show generations.
class MappedUntilClearedMonitor final : public Monitor {
public:
    explicit MappedUntilClearedMonitor(Vocabulary vocabulary)
        : judges_(shows(vocabulary, rmap::Event::kPageAlloc)) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    struct Free {
        std::uint64_t generation = 0;  ///< that has ended
        rmap::Instant time;
    };

    void judge(const rmap::EventRecord& record, Findings& findings);

    const bool judges_;
    Sections sections_;
    BoundedMap<std::uint64_t, Free> freed_;  ///< by pfn: the latest
};

}  // namespace mmusim::platform
