// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "notifiers/notifier_client.hpp"
#include "rmap/ports/invalidation_port.hpp"

namespace mmusim::notifiers {

/// The MMU-notifier lists of all address spaces (mm/mmu_notifier.c, v5.0).
/// Every callback costs KernelCosts::notifier_call besides what the client spends itself. The time
/// goes to Part::kNotifierStart, kNotifierInvalidate, kNotifierEnd, kNotifierAging or
/// kNotifierChangePte. For an mm that never had a client nothing is emitted and no time passes.
/// Clients come and go only while no simulated CPU runs; during a run the lists are read without a
/// lock, and a process that exits empties its own.
class NotifierChain final : public rmap::InvalidationPort {
public:
    /// mmu_notifier_register(): adds at the head, so the last one registered is called first.
    /// A set-up step. The client must outlive the chain or be unregistered; it may watch several
    /// mms but each only once.
    void register_client(rmap::MmId mm, NotifierClient& client);

    /// mmu_notifier_unregister(): calls release, then removes the client. mm_has_notifiers stays
    /// true. A tear-down step: `cpu` is the only one that runs.
    void unregister_client(rmap::Cpu& cpu, rmap::MmId mm, NotifierClient& client);

    bool mm_has_notifiers(rmap::MmId mm) const override { return watched_.count(mm) > 0; }

    /// A client that does not finish a blockable range is a failed check.
    void invalidate_range_start(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    StartResult invalidate_range_start_nonblock(rmap::Cpu& cpu,
                                                const rmap::NotifierRange& range) override;
    void invalidate_range_end(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    void invalidate_range_only_end(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    void invalidate_range(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    bool clear_flush_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    bool clear_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    void change_pte(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtAddr address, rmap::Pte pte,
                    rmap::Generation generation) override;
    /// Behind the callbacks synchronize_srcu(): waits for every call of any mm that is under way on
    /// another CPU, for KernelCosts::synchronize_srcu at least. Part::kNotifierRelease.
    void release(rmap::Cpu& cpu, rmap::MmId mm) override;

private:
    using List = std::vector<NotifierClient*>;  ///< in calling order
    struct Watched {
        List list;
        /// release() emptied the list: at once for `released_by`, for others from `released` on, as
        /// any store becomes visible.
        rmap::Instant released = rmap::kNever;
        rmap::ActorId released_by = rmap::kNoActor;
    };
    /// A CPU's last pass over a list, an SRCU read section. Each CPU writes its own; whoever waits
    /// for them reads them when no other CPU is behind its own time.
    struct Reader {
        rmap::Instant begin;
        rmap::Instant end;  ///< kNever while it is under way
    };
    class ReadSection;
    enum class Ending : unsigned char { kWithInvalidate, kOnly };

    /// nullptr: this mm never had a client.
    const List* clients_of(rmap::Cpu& cpu, rmap::MmId mm) const;
    void synchronize_srcu(rmap::Cpu& cpu);
    StartResult start(rmap::Cpu& cpu, const rmap::NotifierRange& range);
    void end(rmap::Cpu& cpu, const rmap::NotifierRange& range, Ending ending);

    std::map<rmap::MmId, Watched> watched_;
    std::map<rmap::ActorId, Reader> readers_;
};

}  // namespace mmusim::notifiers
