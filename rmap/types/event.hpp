// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::rmap {

/// What happened. Rows of events.def.
enum class Event : std::uint16_t {
#define MMUSIM_EVENT(enumerator, code, name, v5_0, v6_1, mark, arguments) enumerator,
#include "rmap/types/events.def"
#undef MMUSIM_EVENT
};

enum class EventMark { kEntry, kReturn, kPoint };

struct EventInfo {
    std::string_view code;
    std::string_view name;
    std::string_view capture_5_0;
    std::string_view capture_6_1;
    EventMark mark;
    std::string_view arguments;
};

inline constexpr EventInfo kEventTable[] = {
#define MMUSIM_EVENT(enumerator, code, name, v5_0, v6_1, mark, arguments) \
    {code, name, v5_0, v6_1, EventMark::mark, arguments},
#include "rmap/types/events.def"
#undef MMUSIM_EVENT
};
inline constexpr std::size_t kEventCount = sizeof(kEventTable) / sizeof(kEventTable[0]);

constexpr const EventInfo& info(Event event) {
    return kEventTable[static_cast<std::size_t>(event)];
}

inline constexpr std::size_t kMaxEventArguments = 12;
using EventArguments = std::array<std::uint64_t, kMaxEventArguments>;

/// The first N arguments, to be taken apart by a structured binding.
template <std::size_t N>
constexpr std::array<std::uint64_t, N> leading(const EventArguments& arguments) {
    std::array<std::uint64_t, N> first{};
    for (std::size_t i = 0; i < N; ++i) first[i] = arguments[i];
    return first;
}

/// Reasons of tlb_flush (include/linux/mm_types.h: enum tlb_flush_reason).
enum class TlbFlushReason : std::uint64_t {
    kTaskSwitch = 0,
    kRemoteShootdown = 1,
    kLocalShootdown = 2,
    kLocalMmShootdown = 3,
    kRemoteSendIpi = 4,
};

/// tlb_flush's page count for "everything".
inline constexpr std::uint64_t kAllPages = ~std::uint64_t{0};

/// One event. Ordered by (time, actor, sequence), which no host schedule can change.
struct EventRecord {
    Instant time;
    ActorId actor = kNoActor;
    std::uint32_t sequence = 0;  ///< the actor's own count of records
    OperationId operation = 0;   ///< innermost operation that caused it; 0 = none
    Event event{};
    EventArguments arguments{};
};

}  // namespace mmusim::rmap
