// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/hazard_monitor.hpp"
#include "platform/oracle/rules/deferred_clears.hpp"

namespace mmusim::platform {

/// HZ9: somebody trusted that nothing of a page table is left to flush, and something was.
/// mm->tlb_flush_batched is one bit for all that is deferred in an mm: flush_tlb_batched_pending
/// takes it back after its flush, together with what was deferred since that flush began.
///
/// Counts who finds it not set (flush_tlb_batched_pending with batched 0) while holding the lock of
/// a page table from which an entry was cleared with its flush still owed, if the bit was taken
/// back after that clear. The window goes from there to the trust; the danger, from the trust to
/// the batch flush. Who looks at another page table trusts nothing. Needs page-table locks in the
/// stream.
class ForgottenFlushMonitor final : public HazardMonitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Occurrences& occurrences) override;

private:
    using Lock = std::uint64_t;
    using Place = std::pair<rmap::MmId, std::uint64_t>;  ///< address of a page

    bool holds(rmap::ActorId cpu, Lock lock) const;
    void unlock(const rmap::EventRecord& record);
    void judge(const rmap::EventRecord& record, Occurrences& occurrences);

    DeferredClears clears_;
    std::map<rmap::ActorId, std::vector<Lock>> held_;  ///< page-table locks, by CPU
    BoundedMap<Place, Lock> table_of_;                 ///< under which an entry was cleared
    BoundedMap<rmap::MmId, rmap::EventRecord> taken_back_;
};

}  // namespace mmusim::platform
