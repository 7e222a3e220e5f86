// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

#include "models/tlm/coherence_extension.hpp"
#include "models/tlm/pooled_payload.hpp"

namespace mmusim::models {

/// Reads and writes words of simulated memory over a socket: the one place that fills in such a
/// transaction.
class MemoryAccesses {
public:
    using Port = tlm::tlm_fw_transport_if<>;

    /// Whose access it is; see CoherenceExtension.
    struct By {
        rmap::OperationId operation = 0;
        ThreadTime* time = nullptr;
        DataCache* cache = nullptr;
        rmap::Part part{};
    };
    struct Result {
        rmap::Word word;   ///< loaded, or before the operation
        rmap::Instant at;  ///< when it was read, or when the operation was serialised
    };

    /// `name` is the module's, for errors; it outlives this object.
    explicit MemoryAccesses(const char* name) : name_(name) {}

    /// A load, or with `apply` an operation serialised by the line. On return `delay` is local time
    /// less kernel time, as it was on entry. An address outside of memory is an error report.
    Result access(Port& port, const By& by, rmap::PhysAddr address,
                  const rmap::PhysMemPort::Apply* apply, sc_core::sc_time& delay) {
        PayloadPool<CoherenceExtension>::Loan loan(pool_);
        auto& side = loan.extension();
        side.operation = by.operation;
        side.time = by.time;
        side.cache = by.cache;
        side.part = by.part;
        side.apply = apply;
        auto& trans = loan.payload();
        trans.set_command(apply ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
        trans.set_address(address.value);
        trans.set_data_ptr(reinterpret_cast<unsigned char*>(&side.word.value));
        trans.set_data_length(sizeof(side.word.value));
        trans.set_streaming_width(sizeof(side.word.value));
        port.b_transport(trans, delay);
        if (trans.is_response_error()) SC_REPORT_ERROR(name_, "a word lies outside of memory");
        return {side.word, side.read_at};
    }

    /// What a load would see, without any trace of it and without time.
    rmap::Word peek(Port& port, ThreadTime& time, rmap::PhysAddr address) {
        PayloadPool<CoherenceExtension>::Loan loan(pool_);
        auto& side = loan.extension();
        side.time = &time;
        auto& trans = loan.payload();
        trans.set_command(tlm::TLM_READ_COMMAND);
        trans.set_address(address.value);
        trans.set_data_ptr(reinterpret_cast<unsigned char*>(&side.word.value));
        trans.set_data_length(sizeof(side.word.value));
        trans.set_streaming_width(sizeof(side.word.value));
        port.transport_dbg(trans);
        return side.word;
    }

private:
    const char* const name_;
    PayloadPool<CoherenceExtension> pool_;
};

}  // namespace mmusim::models
