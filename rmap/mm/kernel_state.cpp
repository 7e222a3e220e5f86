// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/kernel_state.hpp"

namespace mmusim::rmap {

KernelState::KernelState(const KernelConfig& kernel_config, KernelMemory& kernel_memory,
                         FlushPort& flush_port, InvalidationPort& notifier_port)
    : config(kernel_config),
      memory(kernel_memory),
      flush(flush_port),
      notifiers(notifier_port),
      pages(kernel_memory),
      lru(kernel_memory, kernel_config.memcgs),
      swap(kernel_memory, kernel_config.swap),
      disk(kernel_memory),
      mmlist_lock(kernel_memory.allocate_line()),
      zero_page(kernel_memory.allocate_frame()),
      swapbacked_warned(kernel_memory.allocate_line()),
      reclaim_stats(kernel_config.node_of_cpu.size()) {}

}  // namespace mmusim::rmap
