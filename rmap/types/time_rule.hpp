// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::rmap {

/// The rules that make local time exact, by their number in the time model, as far as one line of
/// code keeps each; where one rule is kept in several places, by that number and another digit. A
/// test program is built in which one of them can be broken, to show that the tests which guard
/// them notice.
enum class TimeRule {
    kNone = 0,
    kObserveSettled = 3,        ///< walks wait for the memory limit, not for the interrupt limit
    kGuestInterrupts = 31,      ///< a guest looks for interrupts up to its own local time
    kDeviceInvalidations = 32,  ///< a device knows all invalidations up to its own local time
    kStoreVisibility = 6,       ///< others see a store only C after it was serialised
    kSerialisedWrites = 7,      ///< locked operations take effect in key order at the line's home
    kOwnerFastPath = 8,         ///< the owner yields to a foreign request that arrived earlier
    kLockOrder = 9,             ///< who gets a lock is decided where its line serialises requests
    kReadsAreEffects = 11,      ///< an owner's store sees the sharers of its own time only
    kObserversJudgeLate = 12,   ///< accesses are judged when kernel time has passed them
};

#ifdef MMUSIM_BREAKABLE_TIME_RULES
bool broken(TimeRule rule);
void break_rule(TimeRule rule);
#else
constexpr bool broken(TimeRule) { return false; }
#endif

}  // namespace mmusim::rmap
