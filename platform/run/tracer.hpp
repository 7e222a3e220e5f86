// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/cpu/core_module.hpp"
#include "models/observe/event_writer.hpp"
#include "rmap/ports/trace_port.hpp"

namespace mmusim::platform {

/// The events of the software on one core, at its local time.
class Tracer final : public rmap::TracePort {
public:
    Tracer(models::CoreModule& core, const models::EventObservers& observers)
        : core_(core), writer_(core.id(), observers) {}

    void emit(rmap::OperationId operation, rmap::Event event,
              const rmap::EventArguments& arguments) override {
        writer_.emit(core_.time().local_now(), operation, event, arguments);
    }

    const models::EventCounts& counts() const { return writer_.counts(); }

private:
    models::CoreModule& core_;
    models::EventWriter writer_;
};

}  // namespace mmusim::platform
