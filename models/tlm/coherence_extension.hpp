// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

#include "rmap/ports/phys_mem_port.hpp"

namespace mmusim::models {

class DataCache;
class ThreadTime;

/// Side-band of one access to simulated memory: who accesses, and what a locked instruction does.
///   operation in   that caused the access
///   time      in   the initiator's local time; the target spends and waits through it
///   cache     in   the initiator's own lines
///   part      in   what the time goes to
///   apply     in   the operation of a locked instruction; null for a load
///   word      out  the value loaded, or the old value; with its generation
///   read_at   out  when a load read the line, or when a locked instruction was serialised
class CoherenceExtension final : public tlm::tlm_extension<CoherenceExtension> {
public:
    rmap::OperationId operation = 0;
    ThreadTime* time = nullptr;
    DataCache* cache = nullptr;
    rmap::Part part{};
    const rmap::PhysMemPort::Apply* apply = nullptr;
    rmap::Word word{};
    rmap::Instant read_at{};

    tlm::tlm_extension_base* clone() const override { return new CoherenceExtension(*this); }
    void copy_from(const tlm::tlm_extension_base& other) override {
        *this = static_cast<const CoherenceExtension&>(other);
    }
};

}  // namespace mmusim::models
