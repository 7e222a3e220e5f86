// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/mem/data_cache.hpp"
#include "models/tlm/memory_accesses.hpp"
#include "models/tlm/thread_time.hpp"

namespace mmusim::models {

/// How a unit that is no core reads and writes words of simulated memory from its own thread.
class UnitMemory {
public:
    using Port = MemoryAccesses::Port;
    using Result = MemoryAccesses::Result;

    /// `name` and `time` are the unit's and outlive this object.
    UnitMemory(const char* name, ThreadTime& time, const CacheCapacity& lines)
        : time_(time), cache_(lines), accesses_(name) {}

    DataCache& cache() { return cache_; }

    /// A load, or with `apply` an operation serialised by the line. Time passes, for `part`.
    Result access(Port& port, rmap::PhysAddr address, const rmap::PhysMemPort::Apply* apply,
                  rmap::OperationId operation, rmap::Part part) {
        auto delay = time_.offset();
        const Result result =
            accesses_.access(port, {operation, &time_, &cache_, part}, address, apply, delay);
        time_.rebase(delay, part);
        return result;
    }

    Result load(Port& port, rmap::PhysAddr address, rmap::OperationId operation, rmap::Part part) {
        return access(port, address, nullptr, operation, part);
    }

private:
    ThreadTime& time_;
    DataCache cache_;
    MemoryAccesses accesses_;
};

}  // namespace mmusim::models
