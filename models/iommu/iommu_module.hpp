// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/multi_passthrough_target_socket.h>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <systemc>
#include <variant>
#include <vector>

#include "models/iommu/invalidation_queue_module.hpp"
#include "models/iommu/iommu_walker_module.hpp"
#include "models/tlb/tlb_array.hpp"
#include "models/tlm/home_inbox.hpp"
#include "models/walker/walk_cache.hpp"

namespace mmusim::models {

struct IommuStats {
    std::uint64_t translation_requests = 0;
    std::uint64_t untranslated = 0;
    std::uint64_t walks = 0;
    std::uint64_t queued = 0;     ///< requests that found every walker busy
    std::uint64_t merged = 0;     ///< that another one's walk was for as well
    std::uint64_t discarded = 0;  ///< walks whose result an invalidation kept out of the IOTLB
    std::uint64_t faults = 0;  ///< that were reported, whether there was room for a record or not
};

/// Models: a remapping unit of Intel VT-d in scalable mode (rev. 3.0): first-level translation of
/// requests with PASID through PASID cache, IOTLB, a cache of level-2 entries and several walkers
/// behind a queue that merges misses of the same page; queued invalidation; fault
/// recording. A home: requests, reports of the walkers and
/// invalidations are handled at kernel time, in the order in which they arrive. The caches belong
/// to the home alone; a walker is told what they know when it starts. An invalidation drops what
/// depends on reads until its effect, keeps out what walks in flight bring of that kind, and is
/// done when these walks are answered and untranslated accesses through them have ended.
/// Does not model: second-level translation, pages of 1 GiB, page requests, ports of the caches,
/// software that clears fault records.
class IommuModule final : public sc_core::sc_module, private IommuCaches {
public:
    InvalidationQueueModule queue;
    /// From DmaDeviceModule::iommu_socket, in any order.
    tlm_utils::multi_passthrough_target_socket<IommuModule, 32, AtsProtocol> device_sockets{
        "device_sockets"};

    struct Config {
        IommuConfig iommu;
        Lookahead lookahead;
        std::vector<IommuDevice> devices;  ///< in the order in which queue.device_sockets are bound
        // Unique among all actors; queue and walkers have rows in Topology::agent_sockets.
        rmap::ActorId home = 0;
        rmap::ActorId queue = 0;
        rmap::ActorId first_walker = 0;  ///< walker n is actor first_walker + n
    };

    IommuModule(const sc_core::sc_module_name& name, const Config& config,
                const EventObservers& observers);

    /// Set-up, before the run begins.
    void set_queue(rmap::PhysAddr base) { queue.set_base(base); }
    void set_root_table(rmap::PhysAddr root_table);

    /// Calls `f` with each initiator socket that is to be bound to the memory.
    template <class F>
    void for_each_memory_socket(F&& f) {
        f(queue.memory_socket);
        for (auto& walker : walkers_) {
            f(walker->memory_socket);
            f(walker->page_walker.memory_socket);
        }
    }

    const IommuStats& stats() const { return stats_; }
    const TlbStats& iotlb_stats() const { return iotlb_.stats(); }
    const WalkCache& walk_cache() const { return walk_cache_; }
    const FaultRecorder& faults() const { return faults_; }
    std::size_t walkers() const { return walkers_.size(); }
    const IommuWalkerModule& walker(std::size_t n) const { return *walkers_[n]; }
    const EventCounts& event_counts() const { return events_.counts(); }

    /// What a process of the unit threw, if one did: the simulation was stopped for it.
    std::exception_ptr failure() const;

private:
    struct WalkReport {
        std::size_t walker = 0;
        DmaWalkResult result;
    };
    /// The invalidation under way is over.
    struct Drained {};
    using Message = std::variant<DmaRequest, WalkReport, IommuInvalidation, Drained>;

    /// An invalidation that has taken effect and waits for what was in flight then. There is one at
    /// a time.
    struct Draining {
        IommuInvalidation invalidation;
        rmap::Instant effect;
        std::uint64_t entries = 0;  ///< dropped
        unsigned walks = 0;         ///< that it waits for
        rmap::Instant until{};      ///< end of the accesses known so far
    };
    /// Requests for one page, in the order of their arrival. The walk is the first one's.
    struct Miss {
        DmaRequest request;
        std::vector<DmaRequest> merged;
    };
    struct Walk {
        Miss miss;
        bool overtaken = false;  ///< the invalidation under way waits for it
    };
    /// An untranslated access under way.
    struct Transfer {
        rmap::Pasid pasid = 0;
        rmap::VirtRange pages;
        rmap::Instant end;
    };

    void receive_request(int id, tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    void post_invalidation(const EffectKey& key, const IommuInvalidation& invalidation) override;
    void serve_method();

    void serve(const DmaRequest& request);
    void serve(const WalkReport& report);
    void serve(const IommuInvalidation& invalidation);
    void serve(const Drained& drained);

    void enqueue(const DmaRequest& request);
    Miss* miss_for(const DmaRequest& request);
    bool one_walk(const DmaRequest& first, const DmaRequest& second);
    void start_walks();
    bool doubtful(const Walk& walk, IommuInvalidation::Kind kind, const rmap::VirtRange& pages,
                  rmap::Instant oldest_read) const;
    void fill(const Walk& walk, const DmaWalkResult& result);
    rmap::Instant answer(const DmaRequest& request, FaultReason reason,
                         const Translation& translation);
    void record_fault(const DmaRequest& request, FaultReason reason);
    void end_invalidation_when_drained();
    rmap::Duration link_of(rmap::SourceId source) const;

    const Config config_;
    TlbArray iotlb_;
    WalkCache walk_cache_;
    PasidCache pasid_cache_;
    FaultRecorder faults_;
    EventWriter events_;
    std::vector<std::unique_ptr<IommuWalkerModule>> walkers_;
    HomeInbox<Message> inbox_;
    std::uint64_t sequence_ = 0;
    std::deque<Miss> waiting_;                ///< for a walker, in the order of their arrival
    std::vector<std::optional<Walk>> walks_;  ///< by walker; none: it is idle
    std::optional<Draining> draining_;
    std::vector<Transfer> transfers_;
    IommuStats stats_;
};

}  // namespace mmusim::models
