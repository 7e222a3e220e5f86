// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/deferred_clears.hpp"

namespace mmusim::platform {

/// T6: a page that was unmapped with a deferred flush is freed only after that flush. Compound
/// pages are not judged: the kernel itself frees them too early (hazard HZ1).
class FreeAfterFlushMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    void judge(const rmap::EventRecord& record, Findings& findings);

    DeferredClears clears_;
};

}  // namespace mmusim::platform
