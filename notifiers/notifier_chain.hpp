// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <vector>

#include "notifiers/notifier_client.hpp"
#include "rmap/ports/invalidation_port.hpp"

namespace mmusim::notifiers {

/// The MMU-notifier lists of all address spaces (mm/mmu_notifier.c, v5.0).
/// Every callback costs KernelCosts::notifier_call besides what the client spends itself. The time
/// goes to Part::kNotifierStart, kNotifierInvalidate, kNotifierEnd or kNotifierAging. For an mm
/// that never had a client nothing is emitted and no time passes.
/// The lists change only while no simulated CPU runs; during a run they are read without a lock.
class NotifierChain final : public rmap::InvalidationPort {
public:
    /// mmu_notifier_register(): adds at the head, so the last one registered is called first.
    /// A set-up step. The client must outlive the chain or be unregistered; it may watch several
    /// mms but each only once.
    void register_client(rmap::MmId mm, NotifierClient& client);

    /// mmu_notifier_unregister(): calls release, then removes the client. mm_has_notifiers stays
    /// true. A tear-down step: `cpu` is the only one that runs.
    void unregister_client(rmap::Cpu& cpu, rmap::MmId mm, NotifierClient& client);

    bool mm_has_notifiers(rmap::MmId mm) const override { return lists_.count(mm) > 0; }

    /// A client that does not finish a blockable range is a failed check.
    void invalidate_range_start(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    StartResult invalidate_range_start_nonblock(rmap::Cpu& cpu,
                                                const rmap::NotifierRange& range) override;
    void invalidate_range_end(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    void invalidate_range_only_end(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    void invalidate_range(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    bool clear_flush_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    bool clear_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;

private:
    using List = std::vector<NotifierClient*>;  ///< in calling order
    enum class Ending : unsigned char { kWithInvalidate, kOnly };

    const List* clients_of(rmap::MmId mm) const;
    StartResult start(rmap::Cpu& cpu, const rmap::NotifierRange& range);
    void end(rmap::Cpu& cpu, const rmap::NotifierRange& range, Ending ending);

    std::map<rmap::MmId, List> lists_;
};

}  // namespace mmusim::notifiers
