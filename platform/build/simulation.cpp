// SPDX-License-Identifier: Apache-2.0
#include "platform/build/simulation.hpp"

#include <systemc>

#include "models/tlm/thread_time.hpp"
#include "rmap/types/check.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace mmusim::platform {

namespace {

/// SystemC tells the address sanitizer of each switch to another stack, but not the bounds of the
/// one to which it returns in the end. Without them an exception there is taken for an error.
void announce_stack() {
#ifdef __SANITIZE_ADDRESS__
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    void* bottom = nullptr;
    std::size_t size = 0;
    pthread_attr_getstack(&attributes, &bottom, &size);
    pthread_attr_destroy(&attributes);
    void* frames = nullptr;
    __sanitizer_start_switch_fiber(&frames, bottom, size);
    __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
#endif
}

}  // namespace

void run_simulation(std::optional<rmap::Duration> limit) {
    try {
        if (limit)
            sc_core::sc_start(models::to_sc_time(*limit));
        else
            sc_core::sc_start();
    } catch (const sc_core::sc_report& report) {
        announce_stack();
        throw rmap::InvariantError(report.get_msg());
    }
    announce_stack();
}

}  // namespace mmusim::platform
