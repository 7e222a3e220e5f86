// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_set>

#include "platform/conform/bindings.hpp"
#include "platform/conform/capture.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// Which of our events the tracer of a capture would have recorded (captures/README.md, "Dropped as
/// unrelated").
class Visibility {
public:
    Visibility(const Capture& capture, const Bindings& bindings);

    /// A task of the scenario, another one, or the interrupt that another one takes.
    enum class By { kScenario, kStranger, kStrangersInterrupt };
    bool recorded(rmap::Event event, const rmap::EventArguments& arguments, By by) const;
    /// Not recorded, but a CPU comes to it only when it goes on in the capture as well: it may have
    /// slept before.
    static bool resumes(rmap::Event event) {
        return event == rmap::Event::kHandleMmFault || event == rmap::Event::kWaitOnPageBitRet;
    }

private:
    bool names_known_page(rmap::Event event, const rmap::EventArguments& arguments) const;
    static bool is_recorded_of_stranger(rmap::Event event, const rmap::EventArguments& arguments,
                                        By by);

    const Bindings& bindings_;
    const rmap::VirtRange target_;
    bool large_ = false;  ///< of 512 or more pages: parts of walks are left out
    std::unordered_set<std::uint64_t> known_frames_;  ///< the capture's
    std::unordered_set<std::uint64_t> freed_frames_;  ///< likewise, when they are freed
};

}  // namespace mmusim::platform
