// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

KernelState::KernelState(const KernelConfig& kernel_config, KernelMemory& kernel_memory,
                         FlushPort& flush_port, InvalidationPort& notifier_port)
    : config(kernel_config),
      memory(kernel_memory),
      flush(flush_port),
      notifiers(notifier_port),
      vm_events(kernel_config.node_of_cpu.size(), kernel_config.memcgs),
      pages(kernel_memory),
      lru(kernel_memory, kernel_config.memcgs),
      swap(kernel_memory, kernel_config.swap),
      disk(kernel_memory),
      anon_vmas(kernel_config.node_of_cpu.size()),
      mmlist_lock(kernel_memory.allocate_line()),
      last_mm_ctx_id(mmlist_lock.word() + 8),
      zero_page(kernel_memory.allocate_frame()),
      swapbacked_warned(kernel_memory.allocate_line()),
      reclaim_stats(kernel_config.node_of_cpu.size()) {
    for (std::size_t cpu = 0; cpu < kernel_config.node_of_cpu.size(); ++cpu)
        lru_pvecs.emplace_back(kernel_memory.allocate_line());
}

}  // namespace mmusim::rmap
