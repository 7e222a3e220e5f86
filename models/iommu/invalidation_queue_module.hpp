// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/multi_passthrough_initiator_socket.h>
#include <tlm_utils/multi_passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <deque>
#include <exception>
#include <list>
#include <optional>
#include <systemc>
#include <vector>

#include "models/iommu/iommu_config.hpp"
#include "models/observe/event_writer.hpp"
#include "models/tlm/device_tlb_invalidation_extension.hpp"
#include "models/tlm/doorbell_extension.hpp"
#include "models/tlm/home_inbox.hpp"
#include "models/tlm/protocols.hpp"
#include "models/tlm/unit_memory.hpp"
#include "rmap/types/vtd.hpp"

namespace mmusim::models {

/// What the queue demands of the unit's caches: one invalidation at a time.
struct IommuInvalidation {
    enum class Kind { kIotlb, kPasidCache };

    Kind kind{};
    rmap::OperationId operation = 0;
    rmap::Pasid pasid = 0;
    rmap::VirtRange range = rmap::kAllAddresses;  ///< IOTLB and walk cache only
    rmap::Completion* done = nullptr;             ///< of the queue, which does nothing but await it
};

class IommuCaches {
public:
    virtual ~IommuCaches() = default;

    /// Called by the queue's thread. The invalidation takes effect at the key's time, at least a
    /// tick ahead, and is done when every walk and every access that began before it and may use
    /// what it is about is over.
    virtual void post_invalidation(const EffectKey& key, const IommuInvalidation& invalidation) = 0;
};

/// A device as its IOMMU knows it.
struct IommuDevice {
    rmap::SourceId source = 0;
    rmap::Duration link{};  ///< one way; at least C
};

struct InvalidationQueueStats {
    std::uint64_t doorbells = 0;
    std::uint64_t descriptors = 0;
    std::uint64_t waits = 0;
};

/// Models: queued invalidation (Intel VT-d, 6.5.2) as a thread of time. A doorbell makes it fetch
/// descriptors and execute them in order; a wait descriptor writes its status when everything
/// before it is complete. Invalidations of device TLBs are outstanding together until then. The
/// queue is read by lines, like a descriptor buffer.
/// Does not model: queue errors, interrupts of wait descriptors, other descriptor types.
class InvalidationQueueModule final : public sc_core::sc_module {
public:
    /// Cores, in any order: from CoreModule::doorbell_socket.
    tlm_utils::multi_passthrough_target_socket<InvalidationQueueModule, 32, DoorbellProtocol>
        core_sockets{"core_sockets"};
    /// To DmaDeviceModule::invalidate_socket, in the order of Config::devices, which is checked.
    /// Devices without an ATC are bound as well.
    tlm_utils::multi_passthrough_initiator_socket<InvalidationQueueModule, 32, DeviceTlbProtocol>
        device_sockets{"device_sockets"};
    tlm_utils::simple_initiator_socket<InvalidationQueueModule> memory_socket{"memory_socket"};

    struct Config {
        rmap::ActorId actor = 0;
        Lookahead lookahead;
        IommuConfig iommu;
        std::vector<IommuDevice> devices;
    };

    /// `caches` outlives the queue.
    InvalidationQueueModule(const sc_core::sc_module_name& name, const Config& config,
                            IommuCaches& caches, const EventObservers& observers);

    /// Set-up: the queue's base address register; head and tail are zero.
    void set_base(rmap::PhysAddr base) { base_ = base; }

    const InvalidationQueueStats& stats() const { return stats_; }
    const EventCounts& event_counts() const { return events_.counts(); }
    std::exception_ptr failure() const { return failure_; }

private:
    /// What the time of one doorbell goes to, until its work is complete.
    class Stages;

    void receive_doorbell(int id, tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    void take_doorbells_method();
    void end_of_elaboration() override;
    void execute_thread();
    Doorbell next_doorbell();
    void execute(const Doorbell& doorbell);
    rmap::QiDescriptor fetch(const Doorbell& doorbell);
    void invalidate_caches(const rmap::QiDescriptor& descriptor, const Doorbell& doorbell);
    void invalidate_device(const rmap::QiDescriptor& descriptor, const Doorbell& doorbell);
    void await_devices();
    void emit(rmap::Event event, const DeviceTlbInvalidation& invalidation);
    rmap::Instant write_status(const rmap::QiDescriptor& descriptor, const Doorbell& doorbell);
    std::uint64_t read(rmap::PhysAddr address, const Doorbell& doorbell);
    std::uint64_t index() const { return head_ / rmap::QiDescriptor::kBytes; }

    /// A device TLB invalidation that is not known to be complete.
    struct Outstanding {
        explicit Outstanding(ThreadTime& time) : completion(time) {}
        DeviceTlbInvalidation invalidation;
        rmap::Completion completion;
    };

    const Config config_;
    IommuCaches& caches_;
    rmap::Accountant account_;
    ThreadTime time_;
    UnitMemory memory_;
    EventWriter events_;
    rmap::PhysAddr base_{};
    std::uint64_t head_ = 0;
    HomeInbox<Doorbell> inbox_;
    std::deque<Doorbell> arrived_;
    std::optional<rmap::Completion> bell_;  ///< while the thread has nothing to do
    std::list<Outstanding> outstanding_;    ///< in the order of their descriptors
    PayloadPool<DeviceTlbInvalidationExtension> pool_;
    InvalidationQueueStats stats_;
    std::exception_ptr failure_;
};

}  // namespace mmusim::models
