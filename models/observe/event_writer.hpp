// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "models/observe/settled_stream.hpp"
#include "models/tlm/thread_time.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::models {

using EventCounts = std::array<std::uint64_t, rmap::kEventCount>;

/// Learns of every event when it is emitted, in the order of the host. Ends of frame generations
/// are told this way, so that whoever judges accesses later knows all of them.
class EmissionObserver {
public:
    virtual ~EmissionObserver() = default;
    virtual void emitted(const rmap::EventRecord& record) = 0;
};

/// Where the actors of a machine leave their events; both may be null.
struct EventObservers {
    SettledStream* stream = nullptr;
    EmissionObserver* at_once = nullptr;
};

/// The events of one actor, which has one writer for all its life: counted, and given to the
/// observers. `at` ascends from call to call and is not before kernel time.
class EventWriter {
public:
    EventWriter(rmap::ActorId actor, const EventObservers& observers)
        : actor_(actor), observers_(observers) {}

    void emit(rmap::Instant at, rmap::OperationId operation, rmap::Event event,
              const rmap::EventArguments& arguments) {
        ++counts_[static_cast<std::size_t>(event)];
        if (!observers_.stream) return;
        const rmap::EventRecord record{at, actor_, ++sequence_, operation, event, arguments};
        if (observers_.at_once) observers_.at_once->emitted(record);
        observers_.stream->post(record);
        if (sequence_ % kReleaseEvery == 0) observers_.stream->release(kernel_now());
    }

    const EventCounts& counts() const { return counts_; }

private:
    static constexpr std::uint32_t kReleaseEvery = 256;

    const rmap::ActorId actor_;
    const EventObservers observers_;
    std::uint32_t sequence_ = 0;
    EventCounts counts_{};
};

}  // namespace mmusim::models
