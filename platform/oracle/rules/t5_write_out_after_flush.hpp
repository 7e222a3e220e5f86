// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/deferred_clears.hpp"

namespace mmusim::platform {

/// T5: no I/O on a page whose dirty PTE was cleared with a deferred flush until that flush is done;
/// a store through a stale dirty TLB entry would be lost.
class WriteOutAfterFlushMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    void judge(const rmap::EventRecord& record, Findings& findings);

    DeferredClears clears_;
};

}  // namespace mmusim::platform
