// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

#include "models/mem/data_cache.hpp"
#include "models/tlm/coherence_extension.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/thread_time.hpp"

namespace mmusim::models {

/// How a unit that is no core reads and writes words of simulated memory from its own thread.
class UnitMemory {
public:
    using Port = tlm::tlm_fw_transport_if<>;

    struct Result {
        rmap::Word word;   ///< loaded, or before the store
        rmap::Instant at;  ///< when it was read, or when the store was serialised
    };

    /// `name` and `time` are the unit's and outlive this object.
    UnitMemory(const char* name, ThreadTime& time, const CacheCapacity& lines)
        : name_(name), time_(time), cache_(lines) {}

    DataCache& cache() { return cache_; }

    /// A load, or with `apply` an operation serialised by the line. Time passes, for `part`.
    Result access(Port& port, rmap::PhysAddr address, const rmap::PhysMemPort::Apply* apply,
                  rmap::OperationId operation, rmap::Part part) {
        PayloadPool<CoherenceExtension>::Loan loan(pool_);
        auto& side = loan.extension();
        side.operation = operation;
        side.time = &time_;
        side.cache = &cache_;
        side.part = part;
        side.apply = apply;
        auto& trans = loan.payload();
        trans.set_command(apply ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
        trans.set_address(address.value);
        trans.set_data_ptr(reinterpret_cast<unsigned char*>(&side.word.value));
        trans.set_data_length(sizeof(side.word.value));
        trans.set_streaming_width(sizeof(side.word.value));
        auto delay = time_.offset();
        port.b_transport(trans, delay);
        time_.rebase(delay, part);
        if (trans.is_response_error()) SC_REPORT_ERROR(name_, "a word lies outside of memory");
        return {side.word, side.read_at};
    }

    Result load(Port& port, rmap::PhysAddr address, rmap::OperationId operation, rmap::Part part) {
        return access(port, address, nullptr, operation, part);
    }

private:
    const char* const name_;
    ThreadTime& time_;
    DataCache cache_;
    PayloadPool<CoherenceExtension> pool_;
};

}  // namespace mmusim::models
