// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/simple_initiator_socket.h>
#include <exception>
#include <functional>
#include <optional>
#include <systemc>

#include "models/iommu/fault_recorder.hpp"
#include "models/iommu/pasid_cache.hpp"
#include "models/tlm/dma_translation_extension.hpp"
#include "models/tlm/unit_memory.hpp"
#include "models/walker/page_walker_module.hpp"

namespace mmusim::models {

/// What a walker is told: the request, and what is known without reading memory.
struct DmaWalk {
    DmaRequest request;
    std::optional<PasidEntry> pasid_entry;
    std::optional<WalkedTable> page_table;
};

/// What it finds out. Everything carries the times of its reads.
struct DmaWalkResult {
    FaultReason reason = FaultReason::kNone;
    Translation translation;                ///< meaningful only without a reason
    std::optional<PasidEntry> pasid_entry;  ///< used, whether known before or read
    std::optional<WalkedTable> page_table;  ///< likewise; none: the walk did not come so far
};

/// Models: one page walker of an IOMMU as a thread of time: it reads root, context, PASID-directory
/// and PASID-table entries (Intel VT-d, 3.4), then walks the first-level tables. Its reads go to
/// the fabric: it keeps no lines.
/// Does not model: second-level and nested translation, requests without PASID, the size field of
/// PASID directories.
class IommuWalkerModule final : public sc_core::sc_module {
public:
    tlm_utils::simple_initiator_socket<IommuWalkerModule> memory_socket{"memory_socket"};
    PageWalkerModule page_walker;  ///< its memory_socket goes to the memory as well

    struct Config {
        rmap::ActorId actor = 0;
        Lookahead lookahead;
        WalkerConfig walker;
        rmap::Duration report{};  ///< from the end of a walk to the unit; at least a tick
    };
    /// Called from the walker's thread, with the key of the report's arrival.
    using Report = std::function<void(const EffectKey&, const DmaWalkResult&)>;

    IommuWalkerModule(const sc_core::sc_module_name& name, const Config& config, Report report);

    /// Set-up: the root-table address register.
    void set_root_table(rmap::PhysAddr root_table) { root_table_ = root_table; }

    /// The unit starts a walk now, at kernel time. The walker has reported all walks before.
    void start(const DmaWalk& walk);

    const WalkerStats& stats() const { return page_walker.stats(); }
    std::uint64_t table_reads() const { return table_reads_; }  ///< besides first-level tables
    std::exception_ptr failure() const { return failure_; }

private:
    void walk_thread();
    DmaWalkResult translate(const DmaWalk& walk);
    FaultReason find_pasid_entry(const DmaRequest& request, PasidEntry& entry);
    std::uint64_t read(rmap::PhysAddr address, rmap::OperationId operation);

    const Config config_;
    const Report report_;
    rmap::Accountant account_;
    ThreadTime time_;
    UnitMemory memory_;
    tlm_utils::simple_initiator_socket<IommuWalkerModule> translate_socket_{"translate_socket"};
    PayloadPool<TranslationExtension> translations_;
    rmap::PhysAddr root_table_{};
    DmaWalk walk_;
    std::optional<rmap::Completion> started_;
    std::uint64_t table_reads_ = 0;
    rmap::Instant last_read_{};
    std::exception_ptr failure_;
};

}  // namespace mmusim::models
