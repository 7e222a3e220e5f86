// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/sections.hpp"

namespace mmusim::platform {

/// N6: no client makes a second-stage entry for an address while a section that covers it is open.
class NoEntryInSectionMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override {
        return united({Sections::events(), {rmap::Event::kSpteSet}});
    }
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    Sections sections_;
};

}  // namespace mmusim::platform
