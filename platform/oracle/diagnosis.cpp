// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/diagnosis.hpp"

#include <fmt/format.h>

#include "platform/oracle/examination.hpp"

namespace mmusim::platform {

std::string Examination::end_name() const {
    return use_.end.kind == FrameEndKind::kFreed ? "the free" : "the hand-over of its content";
}

std::string Examination::after_end(rmap::Instant time) const {
    return fmt::format("{} after {}", text(rmap::time_until(use_.end.time, time)), end_name());
}

std::string Examination::where() const {
    return fmt::format("mm {} va {}", clear_->mm, hex(address_.value));
}

Diagnosis Examination::run() {
    find_clear();
    if (!clear_) return {use_.end.operation, no_clear()};
    Missing missing = too_late_or_missing();
    if (!missing.hazard.empty())
        missing.text = fmt::format("hazard {}: {}", missing.hazard, missing.text);
    return {clear_->operation, std::move(missing.text), missing.hazard};
}

/// The last clear before the end of the frame's generation; failing that, the first one after it.
void Examination::find_clear() {
    const PteClear* other_mm = nullptr;
    for (const PteClear& clear : flushes().clears().all()) {
        if (clear.time > horizon_) break;
        if (clear.frame != use_.access.frame || clear.generation != use_.access.generation ||
            clear.page != use_.access.page)
            continue;
        const PteClear*& kept = clear.mm == use_.access.mm ? clear_ : other_mm;
        if (!kept || clear.time <= use_.end.time) kept = &clear;
    }
    if (!clear_) clear_ = other_mm;
}

std::string Examination::no_clear() const {
    if (!flushes().clears().complete_after(0)) return dropped();
    return fmt::format("the PTE of mm {} va {} was not cleared before {} at {}", use_.access.mm,
                       hex(address_.value), end_name(), text(use_.end.time));
}

Missing Examination::too_late_or_missing() const {
    if (clear_->time > use_.end.time)
        return fmt::format("the PTE of {} was cleared at {}, {}", where(), text(clear_->time),
                           after_end(clear_->time));
    if (clear_->mm != use_.access.mm)
        return fmt::format("mis-tagged: used in mm {}, but what was cleared is of mm {}",
                           use_.access.mm, clear_->mm);
    return missing();
}

Diagnosis diagnose(const StaleUse& use, const Histories& histories, const ActorName& actor_name) {
    const auto examine = use.device_tlb != rmap::kNoActor ? examine_device
                         : use.access.vm != 0             ? examine_guest
                                                          : examine_primary;
    return examine(use, histories, actor_name)->run();
}

}  // namespace mmusim::platform
