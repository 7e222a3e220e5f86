// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm_utils/multi_passthrough_target_socket.h>
#include <memory>
#include <systemc>
#include <unordered_map>

#include "models/mem/line_history.hpp"
#include "models/mem/memory_config.hpp"
#include "models/tlm/coherence_extension.hpp"
#include "models/tlm/inbox.hpp"
#include "rmap/ports/phys_mem_port.hpp"
#include "rmap/ports/time_port.hpp"

namespace mmusim::models {

struct MemoryStats {
    std::uint64_t loads = 0;
    std::uint64_t locked = 0;     ///< locked instructions and stores
    std::uint64_t transfers = 0;  ///< of them, those that had to fetch the line from its home
};

/// Models: simulated physical memory in words of eight bytes; which core owns a line and what it
/// costs another one to read or write it; one order of all writers of a line. The home of every
/// line is here: requests of other cores are served in the order of their arrival.
/// Does not model: sharing of user data (its latency is part of the access), store buffers,
/// bandwidth of DRAM and of the mesh, several lookaheads by distance (time-model rule 6).
class MemoryModule final : public sc_core::sc_module {
public:
    /// Cores, walkers, invalidation queues and devices. Payload: 8 aligned bytes; TLM_READ_COMMAND
    /// for a load, TLM_WRITE_COMMAND for a locked instruction (the operation is in the extension).
    /// May wait through the initiator's time; on return the annotated delay is local time - kernel
    /// time. A debug transport reads what the initiator may see at its local time, without any
    /// trace of it; the extension's `cache` and `part` do not matter then.
    tlm_utils::multi_passthrough_target_socket<MemoryModule> initiator_sockets{"initiator_sockets"};

    MemoryModule(const sc_core::sc_module_name& name, const MemoryConfig& config,
                 const Topology& topology);

    /// Memory as if it had been so before the run began: no time, no owner, no history. Lines that
    /// an actor has written are not to be changed like that.
    rmap::PhysMemPort& backdoor() { return backdoor_; }

    /// All stores so far, set-up's and locked instructions' alike: while it stays the same, no word
    /// has changed.
    const std::uint64_t& stores() const { return stores_; }

    const MemoryStats& stats() const { return stats_; }
    const LateEffects& late() const { return late_; }

private:
    class Backdoor final : public rmap::PhysMemPort {
    public:
        explicit Backdoor(MemoryModule& memory) : memory_(memory) {}
        rmap::Word load(rmap::PhysAddr address, rmap::Part part) override;
        rmap::Word read_modify_write(rmap::PhysAddr address, Apply apply, rmap::Part part) override;

    private:
        MemoryModule& memory_;
    };

    /// A locked instruction on its way to the home of its line.
    struct Request {
        rmap::PhysAddr address;
        const rmap::PhysMemPort::Apply* apply;
        rmap::Word* old;
        rmap::Instant* serialised;
        rmap::Completion* answer;
    };

    void b_transport(int id, tlm::tlm_generic_payload& trans, sc_core::sc_time& delay);
    unsigned transport_dbg(int id, tlm::tlm_generic_payload& trans);
    void load(CoherenceExtension& access, rmap::PhysAddr address);
    void lock(CoherenceExtension& access, rmap::PhysAddr address);
    bool lock_as_owner(CoherenceExtension& access, LineHistory& line, rmap::PhysAddr address);
    void serve_requests_method();
    void serve(const EffectKey& key, const Request& request);
    rmap::Word write(LineHistory& line, rmap::PhysAddr address, rmap::Instant at,
                     rmap::ActorId actor, const rmap::PhysMemPort::Apply& apply);

    rmap::Duration transfer(rmap::ActorId from, rmap::ActorId to) const;
    rmap::Duration dram(rmap::ActorId core, rmap::PhysAddr address) const;
    rmap::Instant settled() const;
    LineHistory& line_of(rmap::PhysAddr address);

    const MemoryConfig config_;
    const Topology topology_;
    const rmap::Duration visibility_;
    std::unordered_map<rmap::LineNumber, std::unique_ptr<LineHistory>> lines_;
    Inbox<Request> requests_;
    sc_core::sc_event request_event_;
    Backdoor backdoor_{*this};
    std::uint64_t stores_ = 0;
    MemoryStats stats_;
    LateEffects late_;
};

}  // namespace mmusim::models
