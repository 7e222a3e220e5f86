// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <systemc>

namespace mmusim::models {

/// Runs the body of a process. An exception must not leave a process of the simulator, where it
/// would lose its type: it stops the simulation and is returned.
template <class Body>
std::exception_ptr run_guarded(Body&& body) {
    try {
        body();
    } catch (const sc_core::sc_unwind_exception&) {
        throw;
    } catch (...) {
        sc_core::sc_stop();
        return std::current_exception();
    }
    return nullptr;
}

}  // namespace mmusim::models
