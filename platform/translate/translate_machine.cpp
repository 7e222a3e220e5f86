// SPDX-License-Identifier: Apache-2.0
#include "platform/translate/translate_machine.hpp"

namespace mmusim::platform {
namespace {

/// Long enough for the simulator's own work to be rare, short enough for the accesses of one
/// stretch to stay in the host's caches until they are judged.
constexpr rmap::Duration kAhead = rmap::nanoseconds(1000);

models::CoreModule::Config core_config(const PlatformConfig& config,
                                       const TranslateOptions& options,
                                       const models::MemoryModule& memory) {
    models::CoreModule::Config core;
    core.lookahead = {kAhead, kAhead, kAhead, {}};
    core.cache = config.memory.cache;
    core.walk_check = {options.oracle == OracleMode::kOn ? options.compare_walks : 0,
                       &memory.stores()};
    if (options.dmi == Dmi::kOn) {
        core.data_tlb = config.mmu.next(models::Stream::kData, 0);
        core.fetch_tlb = config.mmu.next(models::Stream::kFetch, 0);
    }
    return core;
}

}  // namespace

TranslateMachine::TranslateMachine(const PlatformConfig& config, const TranslateOptions& options,
                                   models::CoreSoftware& software, models::AccessObserver* observer)
    : memory("memory", config.memory, config.topology),
      core("core0", core_config(config, options, memory), software, observer),
      mmu("mmu0", config.mmu),
      fabric_("fabric", config.interrupt, config.topology) {
    const auto connect = [](auto& from, auto& to) { from.bind(to); };
    connect(core.translate_socket, mmu.first(models::Stream::kData));
    connect(core.fetch_socket, mmu.first(models::Stream::kFetch));
    mmu.bind_levels(connect);
    connect(core.uncached_walk_socket, mmu.walker.core_socket);
    connect(core.maintain_socket, mmu.maintain_socket);
    connect(mmu.walker.memory_socket, memory.initiator_sockets);
    connect(core.memory_socket, memory.initiator_sockets);
    connect(core.send_socket, fabric_.sender_sockets);
    connect(fabric_.core_sockets, core.deliver_socket);
}

}  // namespace mmusim::platform
