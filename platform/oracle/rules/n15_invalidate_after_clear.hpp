// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/notified_mms.hpp"
#include "platform/oracle/rules/table_locks.hpp"
#include "platform/oracle/vocabulary.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N15: an invalidate_range that answers a clear comes after it. Within one hold of a page-table
/// lock, an invalidate_range over an address that is cleared only later came too early, unless
/// another one follows. Judges only streams that show the locks.
class InvalidateAfterClearMonitor final : public Monitor {
public:
    explicit InvalidateAfterClearMonitor(Vocabulary vocabulary)
        : judges_(shows(vocabulary, rmap::Event::kPtlLock)) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Address = std::pair<rmap::MmId, std::uint64_t>;
    struct Cleared {
        rmap::EventRecord record;
        bool answered = false;  ///< invalidate_range has come since
        bool early = false;     ///< ... or before
    };
    /// One hold of page-table locks.
    struct Hold {
        std::map<Address, std::uint64_t> invalidated;  ///< start -> end, merged where they touch
        std::map<Address, Cleared> cleared;

        void invalidate(rmap::MmId mm, rmap::VirtRange range);
        bool is_invalidated(rmap::MmId mm, std::uint64_t address) const;
    };

    void clear(const rmap::EventRecord& record);
    void end(const rmap::EventRecord& record, Findings& findings);

    const bool judges_;
    NotifiedMms mms_;
    TableLocks locks_;
    std::map<rmap::ActorId, Hold> holds_;
};

}  // namespace mmusim::platform
