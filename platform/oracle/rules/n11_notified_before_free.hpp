// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/unnotified_clears.hpp"

namespace mmusim::platform {

/// N11: in an mm with notifiers, an entry that try_to_unmap replaces by a swap entry has its
/// invalidate_range before the page-table lock is dropped, since the page may be freed before the
/// section ends; and no page is freed before an invalidate_range, or an END with one, has covered
/// every address from which it was cleared. Where the stream does not show the lock, the next step
/// of the walk tells that it was dropped.
class NotifiedBeforeFreeMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    /// The latest clear of a CPU, while its lock is held.
    struct Swapped {
        rmap::EventRecord clear;
        bool notified = false;
        bool swap_entry = false;
    };

    void drop_lock(const rmap::EventRecord& record, Findings& findings);
    void judge_free(const rmap::EventRecord& record, Findings& findings);

    UnnotifiedClears clears_;
    std::map<rmap::ActorId, Swapped> swapped_;
};

}  // namespace mmusim::platform
