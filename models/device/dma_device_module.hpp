// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <exception>
#include <map>
#include <optional>
#include <systemc>
#include <vector>

#include "models/device/device_program.hpp"
#include "models/device/dma_device_config.hpp"
#include "models/device/in_flight_list.hpp"
#include "models/observe/access_writer.hpp"
#include "models/observe/event_writer.hpp"
#include "models/tlb/tlb_array.hpp"
#include "models/tlm/device_tlb_invalidation_extension.hpp"
#include "models/tlm/dma_translation_extension.hpp"
#include "models/tlm/home_inbox.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/protocols.hpp"
#include "models/tlm/thread_time.hpp"
#include "models/tlm/unit_memory.hpp"
#include "rmap/types/injected_fault.hpp"

namespace mmusim::models {

enum class DmaResult { kStarted, kFault };

struct DmaDeviceStats {
    std::uint64_t accesses = 0;
    std::uint64_t faults = 0;
    std::uint64_t requests = 0;       ///< to the IOMMU: for translations, or untranslated
    std::uint64_t stale_answers = 0;  ///< answers that an invalidation overtook; asked again
    std::uint64_t invalidations = 0;
};

/// Models: a device with DMA into address spaces of processes: an engine as a thread of time, an
/// address translation cache (PCI Express 5.0, 10) or none, and several accesses in flight. The
/// side that answers invalidate requests is a home. A translation is used only if no invalidation
/// that has arrived until the access starts concerns it; an invalidation completes when the
/// accesses that started before it arrived are over.
/// Does not model: several translation requests at the same time, page requests, bandwidth of the
/// link, data, limits on outstanding invalidations.
class DmaDeviceModule final : public sc_core::sc_module {
public:
    /// To IommuModule::device_sockets.
    tlm_utils::simple_initiator_socket<DmaDeviceModule, 32, AtsProtocol> iommu_socket{
        "iommu_socket"};
    /// From InvalidationQueueModule::device_sockets, also of a device without an ATC.
    tlm_utils::passthrough_target_socket<DmaDeviceModule, 32, DeviceTlbProtocol> invalidate_socket{
        "invalidate_socket"};

    /// Words of memory that the device polls and counts up itself, as it would read its work from a
    /// queue; unbound for a device that needs none.
    tlm_utils::simple_initiator_socket_optional<DmaDeviceModule> memory_socket{"memory_socket"};

    struct Config {
        DmaDeviceConfig device;
        Lookahead lookahead;
        rmap::ActorId engine = 0;  ///< like every actor: unique, with a row in
        rmap::ActorId atc = 0;     ///< Topology::agent_sockets if it reaches memory
        rmap::InjectedFault fault = rmap::InjectedFault::kNone;  ///< obeys kCompleteBeforeDma
    };

    /// `program` and `observer` (may be null) outlive the device.
    DmaDeviceModule(const sc_core::sc_module_name& name, const Config& config,
                    DeviceProgram& program, AccessObserver* observer,
                    const EventObservers& observers);

    ThreadTime& time() { return time_; }
    /// By physical addresses, for the program.
    rmap::PhysMemPort& memory() { return words_; }
    const ThreadTime& time() const { return time_; }
    const DmaDeviceStats& stats() const { return stats_; }
    const TlbStats& atc_stats() const { return atc_.stats(); }
    /// Invalidations that arrived too late for what the engine had decided.
    const LateEffects& late() const { return late_; }
    EventCounts event_counts() const;

    /// For the program, from the device's thread; time passes. Starts one access to the byte at
    /// `address`: returns when it has its translation and is under way, or is refused. Without an
    /// ATC it begins at the IOMMU, and returns when the device has learned of it.
    DmaResult access(rmap::Pasid pasid, rmap::VirtAddr address, rmap::Access kind);

    /// Names the address space behind a PASID for the observers; the device sees only the PASID.
    void label_address_space(rmap::Pasid pasid, rmap::MmId mm) { labels_[pasid] = mm; }

    /// What the program threw, if it did: the simulation was stopped for it.
    std::exception_ptr failure() const { return failure_; }

    /// Gives the observer every access that kernel time has passed.
    void settle(rmap::Instant now) { observed_.settle(now); }

private:
    /// A request that has arrived, or the completion of one that is to be sent.
    struct Invalidation {
        DeviceTlbInvalidation request;
        std::optional<std::uint64_t> in_flight;  ///< completion: accesses still under way
    };
    struct Applied {
        rmap::Instant arrived;
        rmap::Pasid pasid = 0;
        rmap::VirtRange range;
    };

    class Words final : public rmap::PhysMemPort {
    public:
        explicit Words(DmaDeviceModule& device)
            : device_(device), memory_(device.name(), device.time_, {}) {}
        rmap::Word load(rmap::PhysAddr address, rmap::Part part) override;
        rmap::Word read_modify_write(rmap::PhysAddr address, Apply apply, rmap::Part part) override;

    private:
        DmaDeviceModule& device_;
        UnitMemory memory_;
    };

    void run_program_thread();
    void receive_invalidation(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    void serve_invalidations_method();
    void invalidate(const DeviceTlbInvalidation& request);
    void emit(rmap::Event event, const DeviceTlbInvalidation& request, std::uint64_t in_flight);

    std::optional<Translation> translate(rmap::Pasid pasid, rmap::VirtAddr address,
                                         rmap::Access kind);
    DmaAnswer request(DmaRequest::Kind request_kind, rmap::Pasid pasid, rmap::VirtAddr address,
                      rmap::Access kind);
    void apply_invalidations();
    bool overtaken(rmap::Pasid pasid, rmap::PageNumber page, const Translation& translation) const;
    DmaResult refuse(rmap::Pasid pasid, rmap::VirtAddr address, rmap::Access kind);
    void start(rmap::Pasid pasid, rmap::VirtAddr address, rmap::Access kind,
               const Translation& translation, rmap::Instant start);

    const Config config_;
    DeviceProgram& program_;
    rmap::Accountant account_;
    ThreadTime time_;
    // ---- the engine's ----
    Words words_{*this};
    EventWriter engine_events_;
    TlbArray atc_;
    InFlightList in_flight_;
    Inbox<DeviceTlbInvalidation> arriving_;  ///< not yet applied to the ATC
    bool at_work_ = true;                    ///< looks at the ATC again, and so at what arrives
    std::vector<Applied> applied_;           ///< by the latest look at what arrived
    rmap::Instant decided_{};                ///< latest time at which the ATC was looked at
    std::map<rmap::Pasid, rmap::MmId> labels_;
    PayloadPool<DmaTranslationExtension> pool_;
    AccessWriter observed_;
    // ---- the home's ----
    EventWriter atc_events_;
    HomeInbox<Invalidation> inbox_;
    std::uint64_t sequence_ = 0;

    DmaDeviceStats stats_;
    LateEffects late_;
    std::exception_ptr failure_;
};

}  // namespace mmusim::models
