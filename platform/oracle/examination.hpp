// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "platform/oracle/diagnosis.hpp"

namespace mmusim::platform {

/// What was missing, and which hazard of the kernel it is, if one.
struct Missing {
    Missing(std::string missing, std::string_view hazard_id = {})
        : text(std::move(missing)), hazard(hazard_id) {}

    std::string text;
    std::string_view hazard;
};

/// One look through the history for one stale use: the clear of the page-table entry that should
/// have ended the translation, and what was missing between it and the end of the frame.
class Examination {
public:
    Examination(const StaleUse& use, const Histories& histories, const ActorName& actor_name)
        : use_(use),
          histories_(histories),
          agent_(actor_name(use.agent)),
          address_(rmap::address_of(use.access.page)),
          horizon_(use.access.time + kHindsight) {}
    virtual ~Examination() = default;
    Examination(const Examination&) = delete;
    Examination& operator=(const Examination&) = delete;

    Diagnosis run();

protected:
    static std::string dropped() { return "unknown: history dropped"; }

    /// For a clear in time, of the use's own mm. Only records up to horizon() count.
    virtual Missing missing() const = 0;

    const StaleUse& use() const { return use_; }
    const PteClear& clear() const { return *clear_; }
    const FlushHistory& flushes() const { return histories_.flushes; }
    const SecondaryHistory& secondary() const { return histories_.secondary; }
    const std::string& agent() const { return agent_; }
    rmap::VirtAddr address() const { return address_; }
    rmap::Instant horizon() const { return horizon_; }

    /// "the free".
    std::string end_name() const;
    /// "20 ns after the free".
    std::string after_end(rmap::Instant time) const;
    /// "mm 2 va 0x1000", of the clear.
    std::string where() const;

private:
    void find_clear();
    std::string no_clear() const;
    Missing too_late_or_missing() const;

    const StaleUse& use_;
    const Histories histories_;
    const std::string agent_;
    const rmap::VirtAddr address_;
    const rmap::Instant horizon_;
    const PteClear* clear_ = nullptr;
};

/// For a core that runs the address space: the shootdown of the CPUs' TLBs.
std::unique_ptr<Examination> examine_primary(const StaleUse& use, const Histories& histories,
                                             const ActorName& actor_name);

/// For a core that ran a guest: the second-stage entry and kvm_flush_remote_tlbs.
std::unique_ptr<Examination> examine_guest(const StaleUse& use, const Histories& histories,
                                           const ActorName& actor_name);

/// For a device with a TLB of its own: the client's invalidate_range, the IOTLB and the device TLB.
std::unique_ptr<Examination> examine_device(const StaleUse& use, const Histories& histories,
                                            const ActorName& actor_name);

}  // namespace mmusim::platform
