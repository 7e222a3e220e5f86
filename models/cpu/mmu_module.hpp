// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <systemc>

#include "models/tlb/tlb_module.hpp"
#include "models/walker/page_walker_module.hpp"

namespace mmusim::models {

/// Models: the MMU of one core: two TLB levels and a page walker, bound to each other. The core
/// binds to l1_tlb.core_socket and l1_tlb.maintain_socket, the memory to walker.memory_socket.
class MmuModule final : public sc_core::sc_module {
public:
    TlbModule l1_tlb;
    TlbModule l2_tlb;
    PageWalkerModule walker;

    MmuModule(const sc_core::sc_module_name& name, const TlbConfig& l1, const TlbConfig& l2,
              const WalkerConfig& walk)
        : sc_module(name), l1_tlb("l1_tlb", l1), l2_tlb("l2_tlb", l2), walker("walker", walk) {}
};

}  // namespace mmusim::models
