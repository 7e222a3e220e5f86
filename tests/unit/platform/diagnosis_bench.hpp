// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>

#include "platform/oracle/diagnosis.hpp"
#include "tests/support/event_stream.hpp"

namespace mmusim::platform {

constexpr std::uint64_t kMm = 2, kVa = 0x100000003000, kEnd = kVa + 0x1000;
constexpr std::uint64_t kPfn = 0x1a2b, kGen = 4;
constexpr rmap::ActorId kCore = 3, kDma = 41;  ///< who used the translation
const rmap::OperationId kUnmap = rmap::operation_id(0, 17), kFree = rmap::operation_id(0, 3);

/// A use at 1300 ns of a frame that was freed at 1250 ns.
inline StaleUse stale_use_by(rmap::ActorId agent, std::uint64_t filled_ns) {
    StaleUse use;
    use.agent = agent;
    use.access.time = rmap::Instant{1'300'000};
    use.access.filled = rmap::Instant{filled_ns * 1000};
    use.access.page = rmap::page_of(rmap::VirtAddr{kVa});
    use.access.frame = {kPfn};
    use.access.generation = kGen;
    use.access.mm = kMm;
    use.end = {kGen, FrameEndKind::kFreed, rmap::Instant{1'250'000}, kFree};
    return use;
}

/// What is said about a use after the events of a story, each heard by who asked for it.
inline Diagnosis diagnose_after(const test::EventStream& story, const StaleUse& use) {
    FlushHistory flushes;
    SecondaryHistory secondary;
    for (const auto& record : story.records()) {
        const auto wants = [&](const std::vector<rmap::Event>& events) {
            return std::find(events.begin(), events.end(), record.event) != events.end();
        };
        if (wants(FlushHistory::events())) flushes.on_record(record);
        if (wants(SecondaryHistory::events())) secondary.on_record(record);
    }
    return diagnose(use, {flushes, secondary}, [](rmap::ActorId actor) {
        return actor == kDma ? "dma0" : "core" + std::to_string(actor);
    });
}

}  // namespace mmusim::platform
