// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <exception>
#include <memory>
#include <systemc>
#include <vector>

#include "models/cpu/core_software.hpp"
#include "models/cpu/guest_access.hpp"
#include "models/cpu/repeated_accesses.hpp"
#include "models/cpu/walk_check.hpp"
#include "models/mem/data_cache.hpp"
#include "models/observe/access_writer.hpp"
#include "models/tlb/tlb_filter.hpp"
#include "models/tlm/doorbell_extension.hpp"
#include "models/tlm/interrupt_extension.hpp"
#include "models/tlm/memory_accesses.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/protocols.hpp"
#include "models/tlm/thread_time.hpp"
#include "models/tlm/translation_extension.hpp"
#include "rmap/ports/guest_port.hpp"
#include "rmap/types/check.hpp"
#include "rmap/types/injected_fault.hpp"

namespace mmusim::models {

struct CoreStats {
    std::uint64_t accesses = 0;
    std::uint64_t faults = 0;
    std::uint64_t interrupts = 0;
    std::uint64_t vm_entries = 0;
    std::uint64_t guest_accesses = 0;  ///< done; not in `accesses`
    std::uint64_t violations = 0;      ///< guest accesses that the second stage did not allow
};

/// Models: a core as a thread of time: user accesses through its MMU, kernel instructions,
/// invalidation instructions, interrupt-command writes; interrupts at instruction boundaries. Guest
/// mode (VMX non-root operation, Intel SDM vol. 3, chapter 25) as far as translations need it.
/// Instructions are fetched only when the software says so, as an access of its own.
/// Does not model: pipelines, hardware threads, speculation; of a guest: its interrupts, its own
/// invalidation instructions and any exit besides those of GuestAccess.
class CoreModule final : public sc_core::sc_module, public rmap::PhysMemPort {
public:
    template <class M>
    using Initiator = tlm_utils::simple_initiator_socket<M>;

    Initiator<CoreModule> translate_socket{"translate_socket"};  ///< its MMU, loads and stores
    Initiator<CoreModule> fetch_socket{"fetch_socket"};          ///< likewise, instructions
    Initiator<CoreModule> maintain_socket{"maintain_socket"};    ///< likewise, invalidations
    Initiator<CoreModule> memory_socket{"memory_socket"};
    Initiator<CoreModule> send_socket{"send_socket"};  ///< interrupt fabric, commands
    tlm_utils::passthrough_target_socket<CoreModule> deliver_socket{
        "deliver_socket"};  ///< likewise
    /// Invalidation queue of the IOMMU; unbound on a machine without one.
    tlm_utils::simple_initiator_socket_optional<CoreModule, 32, DoorbellProtocol> doorbell_socket{
        "doorbell_socket"};

    /// Its MMU, debug transports only: walks through no cache, for the observer. Unbound where
    /// nothing is compared.
    tlm_utils::simple_initiator_socket_optional<CoreModule> uncached_walk_socket{
        "uncached_walk_socket"};

    struct Config {
        rmap::CpuId id = 0;
        Lookahead lookahead;
        CacheCapacity cache;
        WalkCheck walk_check;
        /// The TLBs to which translate_socket and fetch_socket lead, one and the same for a unified
        /// one, if what they grant is to be used (DMI, see TlbModule); otherwise null.
        const TlbConfig* data_tlb = nullptr;
        const TlbConfig* fetch_tlb = nullptr;
        rmap::InjectedFault fault = rmap::InjectedFault::kNone;  ///< obeys kKeepGrant
    };

    /// `software` and `observer` (may be null) outlive the core.
    CoreModule(const sc_core::sc_module_name& name, const Config& config, CoreSoftware& software,
               AccessObserver* observer);

    rmap::CpuId id() const { return config_.id; }
    ThreadTime& time() { return time_; }
    const ThreadTime& time() const { return time_; }
    rmap::Accountant& account() { return account_; }
    const CoreStats& stats() const { return stats_; }

    // ---- for what runs on the core, from its own thread; time passes ----
    /// Which TLBs an access asks.
    enum class Ask {
        kUntilHit,
        kAllLevels,  ///< those below one that hits, too (TranslationExtension::ask_all_levels)
    };

    /// One user instruction that accesses memory, or its fetch (kExecute); `cost` is its time
    /// besides the translation.
    rmap::Fault access(rmap::VirtAddr address, rmap::Access kind, rmap::Duration cost,
                       Ask ask = Ask::kUntilHit) {
        if (ask == Ask::kUntilHit && access_granted(address, kind, cost)) return rmap::Fault::kNone;
        return access_tlb(address, kind, cost, ask);
    }
    // Likewise, its two ways:
    /// By what the first TLB has granted, which has hit then; false: it has not, nothing is done.
    [[gnu::always_inline]] bool access_granted(rmap::VirtAddr address, rmap::Access kind,
                                               rmap::Duration cost) {
        if (!filters_[0]) return false;
        time_.boundary();
        if (!use_grant(address, kind, cost)) return false;
        ++stats_.accesses;
        return true;
    }
    /// Asking the TLB.
    rmap::Fault access_tlb(rmap::VirtAddr address, rmap::Access kind, rmap::Duration cost, Ask ask);
    /// Whether the first TLB would hit a user's access; nothing changes and no time passes.
    bool would_hit(rmap::VirtAddr address, rmap::Access kind);
    /// Of the last access, a guest's likewise. Bit n - 1: a TLB of level n was asked and missed.
    std::uint32_t missed_levels() const { return request().missed_levels; }

    // ---- guest mode: from the core's own thread, interrupts off; time goes to Part::kGuest ----
    /// VM entry: guest instructions follow. `context` tells the guest's PCID in the low 12 bits of
    /// its CR3. TLBs keep everything: translations are tagged with the VPID (28.4.3.3).
    void vm_entry(const rmap::GuestContext& context, rmap::Duration cost);
    /// VM exit. Interrupts that arrived meanwhile are taken when the host switches them on.
    void vm_exit(rmap::Duration cost);
    /// One guest instruction that accesses `address`, a guest-virtual one; `cost` is its time
    /// besides the translation and passes only if the access is done. An interrupt that arrived at
    /// or before the instruction comes first; one that arrives during it waits for the next.
    GuestAccess access_guest(rmap::VirtAddr address, rmap::Access kind, rmap::Duration cost);
    /// VmId of the guest that is running, 0 = none: the core is in the host.
    rmap::VmId guest() const { return guest_.vm; }

    /// One invalidation instruction over the own MMU. CR3 writes also change the address space.
    void maintain(const rmap::TlbOperation& operation, rmap::Duration cost, rmap::Part part);

    /// One write of the interrupt-command register; arrives at the fabric `way` later.
    void command_interrupt(const rmap::CpuMask& targets, rmap::Vector vector, rmap::Duration cost,
                           rmap::Duration way, rmap::Part part);

    /// One write of the tail register of the IOMMU's invalidation queue; arrives there `way`
    /// later, at least C. `write_back` as in rmap::IommuPort.
    void write_queue_tail(std::uint64_t tail, rmap::Completion& write_back, rmap::Duration cost,
                          rmap::Duration way, rmap::Part part);

    // rmap::PhysMemPort: kernel loads, stores and locked instructions.
    rmap::Word load(rmap::PhysAddr address, rmap::Part part) override;
    rmap::Word read_modify_write(rmap::PhysAddr address, Apply apply, rmap::Part part) override;

    /// Names the address space, a guest's likewise, for the observers; hardware sees only CR3.
    void label_address_space(rmap::MmId mm) {
        mm_ = mm;
        observed_.set_context(mm_, guest_.vm);
    }

    /// What the software threw, if it did: the simulation was stopped for it.
    std::exception_ptr failure() const { return failure_; }

    /// Gives the observer every access that kernel time has passed.
    void settle(rmap::Instant now) { observed_.settle(now); }

private:
    void run_software_thread();
    void deliver(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    rmap::Word access_memory(rmap::PhysAddr address, const Apply* apply, rmap::Part part);
    /// The address space, a guest's or the host's, has changed.
    void set_context();
    /// Of translate_socket and fetch_socket.
    struct Port {
        Initiator<CoreModule>& socket;
        TlbFilter* filter = nullptr;  ///< null: nothing granted is used
    };
    Port& port(rmap::Access kind) { return ports_[kind == rmap::Access::kExecute]; }
    template <std::size_t port>
    void withdraw(sc_dt::uint64 start, sc_dt::uint64 end);
    /// The access, if a grant says all of it.
    [[gnu::always_inline]] bool use_grant(rmap::VirtAddr address, rmap::Access kind,
                                          rmap::Duration cost) {
        const auto* alike = repeated_.find(rmap::page_of(address), kind, observed_.stamp());
        if (!alike || walks_.next_is_chosen()) return look_for_grant(address, kind, cost);
        if (!alike->possible()) return false;
        ++alike->stats->hits;
        request().missed_levels = 0;
        time_.advance(alike->lookup + cost, request().part);
        if (observed_.on()) observed_.write_alike(time_.local_now(), alike->kind);
        walks_.chosen();
        return true;
    }
    bool look_for_grant(rmap::VirtAddr address, rmap::Access kind, rmap::Duration cost);
    void update_grant(Port& from, rmap::PageNumber page, rmap::Access kind);
    void keep_for_repetition(rmap::PageNumber page, rmap::Access kind,
                             const TlbFilter::Usable& usable);
    /// Translation and access.
    [[gnu::always_inline]] rmap::Fault translate(rmap::VirtAddr address, rmap::Access kind,
                                                 rmap::Duration cost, Ask ask);
    TranslationExtension& request() { return translation_.extension(); }
    const TranslationExtension& request() const { return translation_.extension(); }
    /// An access just done by `used`, which is compared if it is one of those chosen.
    [[gnu::always_inline]] void observe(rmap::VirtAddr address, rmap::Access kind,
                                        const Translation& used) {
        observed_.write(time_.local_now(), rmap::page_of(address), kind, used);
        if (walks_.chosen() && request().vm == 0 && !observed_.write_known())
            compare_with_walk(address, kind, used);
    }
    void compare_with_walk(rmap::VirtAddr address, rmap::Access kind, const Translation& used);

    const Config config_;
    CoreSoftware& software_;
    rmap::Accountant account_;
    ThreadTime time_;
    DataCache cache_;
    rmap::Pcid pcid_ = 0;
    rmap::PhysAddr root_{};
    rmap::GuestContext guest_;  ///< vm 0: none
    rmap::MmId mm_ = rmap::kInitMm;
    OwnPayload<TranslationExtension> translation_;  ///< one at a time
    std::unique_ptr<TlbFilter> filters_[2];         ///< the second only if the TLBs are two
    TlbTag tag_;  ///< of the address space, a guest's or the host's
    Port ports_[2] = {{translate_socket}, {fetch_socket}};
    tlm::tlm_dmi dmi_;
    RepeatedAccesses repeated_;
    PayloadPool<MaintenanceExtension> maintenances_;
    MemoryAccesses accesses_{name()};
    PayloadPool<InterruptExtension> interrupts_;
    PayloadPool<DoorbellExtension> doorbells_;
    AccessWriter observed_;
    WalkSampler walks_;
    PayloadPool<TranslationExtension> walks_asked_;
    std::exception_ptr failure_;
    CoreStats stats_;
};

}  // namespace mmusim::models
