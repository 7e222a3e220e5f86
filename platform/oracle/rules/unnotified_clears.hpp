// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "platform/oracle/rules/clear_index.hpp"
#include "platform/oracle/rules/notified_mms.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// A present entry of an mm with notifiers that was cleared.
struct NotifiableClear {
    rmap::EventRecord record;  ///< pte_clear, pte_clear_defer or ptep_clear_flush
    bool notified = false;     ///< an invalidate_range over its address has come since
};

/// Which cleared entries of mms with notifiers invalidate_range has been called for: on its own, or
/// as a part of an END, which is over when the END returns. An entry that got its old value back
/// needs none. Forgets the oldest clears beyond kMonitorCapacity.
class UnnotifiedClears {
public:
    using Id = ClearIndex<NotifiableClear>::Id;

    static std::vector<rmap::Event> events();

    /// Takes note of its own events and ignores others.
    void on_record(const rmap::EventRecord& record);

    /// All clears from now on have this id or a larger one.
    Id next() const { return clears_.next(); }

    /// The clears of mappings of 2^`order` frames from `frame`, oldest first.
    std::vector<NotifiableClear> of(rmap::FrameNumber frame, std::uint64_t order) const {
        return clears_.of(frame, order);
    }

    /// The first clear by `actor` in `range` from `since` on that is not notified.
    std::optional<NotifiableClear> first(rmap::MmId mm, rmap::VirtRange range, rmap::ActorId actor,
                                         Id since) const;

    /// The frames have a new life.
    void forget(rmap::FrameNumber frame, std::uint64_t order);

    bool has_notifiers(rmap::MmId mm) { return mms_.has(mm); }

private:
    struct OpenEnd {
        Id before = 0;  ///< clears with smaller ids were there when it began
        bool with_invalidate = false;
    };

    void add(const rmap::EventRecord& record);
    void notify(rmap::MmId mm, rmap::VirtRange range, Id before);

    NotifiedMms mms_;
    ClearIndex<NotifiableClear> clears_;  ///< owed: invalidate_range
    std::map<rmap::ActorId, OpenEnd> ends_;
};

}  // namespace mmusim::platform
