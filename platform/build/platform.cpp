// SPDX-License-Identifier: Apache-2.0
#include "platform/build/platform.hpp"

#include "platform/config/lookahead.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

models::Lookahead lookahead_of(const PlatformConfig& config) {
    const auto rows = lookaheads(config);
    models::Lookahead lookahead;
    lookahead.memory = rows[0].time;
    lookahead.interrupt = rows[1].time;
    if (rows.size() > 2) lookahead.invalidation = rows[2].time;
    return lookahead;
}

namespace {

std::string numbered(const char* what, rmap::CpuId id) { return what + std::to_string(id); }

}  // namespace

Platform::Node::Node(const PlatformConfig& config, const Options& options, rmap::CpuId id,
                     models::CoreSoftware& software)
    : core(numbered("core", id).c_str(), {id, options.lookahead, config.memory.cache}, software,
           options.observer),
      mmu(numbered("mmu", id).c_str(), config.l1_tlb, config.l2_tlb, config.walker) {
    const auto* row = models::find_flush_mechanism(config.flush_mechanism);
    MMUSIM_CHECK(row, "the config names an existing flush mechanism");
    mechanism = row->create(core, {config.invalidation, config.interrupt});
}

Platform::Platform(const PlatformConfig& config, const Options& options,
                   const std::function<models::CoreSoftware&(rmap::CpuId)>& software_of)
    : memory_("memory", config.memory, config.topology),
      fabric_("fabric", config.interrupt, config.topology) {
    MMUSIM_CHECK(sc_core::sc_get_time_resolution() == sc_core::sc_time(1, sc_core::SC_PS),
                 "simulated time is counted in picoseconds");
    const unsigned cores = config.topology.cores();
    nodes_.resize(cores);
    std::vector<rmap::CpuId> order = options.creation_order;
    for (rmap::CpuId id = 0; order.size() < cores; ++id) order.push_back(id);
    for (const auto id : order)
        nodes_[id] = std::make_unique<Node>(config, options, id, software_of(id));
    for (auto& node : nodes_) bind(*node, options.checks);
}

template <class From, class To>
void Platform::connect(From& from, To& to, ProtocolChecks checks) {
    if (checks == ProtocolChecks::kOff) {
        from.bind(to);
        return;
    }
    checkers_.push_back(std::make_unique<models::ProtocolCheckerModule>(
        numbered("checker", static_cast<rmap::CpuId>(checkers_.size())).c_str()));
    from.bind(checkers_.back()->initiator_side);
    checkers_.back()->target_side.bind(to);
}

void Platform::bind(Node& node, ProtocolChecks checks) {
    connect(node.core.translate_socket, node.mmu.l1_tlb.core_socket, checks);
    connect(node.mmu.l1_tlb.next_socket, node.mmu.l2_tlb.core_socket, checks);
    connect(node.mmu.l2_tlb.next_socket, node.mmu.walker.tlb_socket, checks);
    connect(node.core.maintain_socket, node.mmu.l1_tlb.maintain_socket, checks);
    connect(node.mmu.l1_tlb.next_maintain_socket, node.mmu.l2_tlb.maintain_socket, checks);
    connect(node.mmu.walker.memory_socket, memory_.initiator_sockets, checks);
    connect(node.core.memory_socket, memory_.initiator_sockets, checks);
    connect(node.core.send_socket, fabric_.sender_sockets, checks);
    connect(fabric_.core_sockets, node.core.deliver_socket, checks);
}

models::LateEffects Platform::late() const {
    models::LateEffects total = memory_.late();
    for (const auto& node : nodes_) {
        total.count += node->core.time().late().count;
        total.worst = rmap::max(total.worst, node->core.time().late().worst);
    }
    return total;
}

}  // namespace mmusim::platform
