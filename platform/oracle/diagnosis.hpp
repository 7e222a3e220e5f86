// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "models/observe/access_record.hpp"
#include "platform/oracle/flush_history.hpp"
#include "platform/oracle/secondary_history.hpp"
#include "platform/report/event_text.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

enum class FrameEndKind : unsigned char {
    kFreed,   ///< returned to the allocator: no access from then on
    kSealed,  ///< content handed over (I/O started, copied away): no write from then on
};

/// The end of one generation of a frame.
struct FrameEnd {
    rmap::Generation generation = 0;
    FrameEndKind kind{};
    rmap::Instant time;
    rmap::OperationId operation = 0;
};

/// An access through a translation whose frame had moved on.
struct StaleUse {
    rmap::ActorId agent = rmap::kNoActor;  ///< a core is the actor that also flushes its TLB
    /// Of a device: the actor that invalidates its TLB, or itself if it has none and the IOMMU
    /// translates for it.
    rmap::ActorId device_tlb = rmap::kNoActor;
    models::AccessRecord access;  ///< of a guest: with the page of its process in the host
    FrameEnd end;
};

struct Diagnosis {
    rmap::OperationId operation = 0;  ///< should have removed the translation
    std::string missing;              ///< the flush that was missing, late, too narrow, mis-tagged
    /// "HZ7": the kernel itself misses it, so the use is no violation. Empty: it should not have.
    std::string_view hazard = {};
};

/// What explanations are found in.
struct Histories {
    const FlushHistory& flushes;
    const SecondaryHistory& secondary;
};

/// A flush this much later than the access still counts as late rather than missing.
inline constexpr rmap::Duration kHindsight = rmap::nanoseconds(1'000'000);

/// Explains `use` from the histories, which have passed use.access.time + kHindsight or is
/// complete. What came later than that is not looked at, so the answer does not depend on when it
/// is given.
Diagnosis diagnose(const StaleUse& use, const Histories& histories, const ActorName& actor_name);

}  // namespace mmusim::platform
