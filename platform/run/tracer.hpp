// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "models/cpu/core_module.hpp"
#include "models/observe/settled_stream.hpp"
#include "platform/oracle/oracle.hpp"
#include "rmap/ports/trace_port.hpp"

namespace mmusim::platform {

using EventCounts = std::array<std::uint64_t, rmap::kEventCount>;

/// The events of one core: counted, given to the stream when somebody listens, and the ends of
/// frame generations told to the oracle at once.
class Tracer final : public rmap::TracePort {
public:
    struct Observers {
        models::SettledStream* stream = nullptr;  ///< null: nobody listens
        SafetyOracle* oracle = nullptr;           ///< null: off
    };

    Tracer(models::CoreModule& core, const Observers& observers)
        : core_(core), observers_(observers) {}

    void emit(rmap::OperationId operation, rmap::Event event,
              const rmap::EventArguments& arguments) override {
        ++counts_[static_cast<std::size_t>(event)];
        if (!observers_.stream) return;
        const rmap::EventRecord record{
            core_.time().local_now(), core_.id(), ++sequence_, operation, event, arguments};
        if (observers_.oracle) observers_.oracle->emitted(record);
        observers_.stream->post(record);
        if (sequence_ % kReleaseEvery == 0) observers_.stream->release(models::kernel_now());
    }

    const EventCounts& counts() const { return counts_; }

private:
    static constexpr std::uint32_t kReleaseEvery = 256;

    models::CoreModule& core_;
    const Observers observers_;
    std::uint32_t sequence_ = 0;
    EventCounts counts_{};
};

}  // namespace mmusim::platform
