// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/types/address.hpp"
#include "rmap/types/function_ref.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/part.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::rmap {

/// Eight aligned bytes of simulated memory. `generation` is the oracle's side-band: that of the
/// frame which a page-table entry maps, 0 for any other word.
struct Word {
    std::uint64_t value = 0;
    Generation generation = 0;
};

/// The calling actor's view of simulated memory. Everything that more than one actor writes lives
/// here, because only here all writers of a line have one order (time-model rules 6 to 8).
class PhysMemPort {
public:
    /// Gets the current value and the instant at which the operation is serialised; returns the
    /// new value. Runs exactly once, in the order of all operations on the line, possibly while
    /// another actor's code is on the host's stack: it may touch only what this line guards.
    using Apply = FunctionRef<Word(Word old, Instant serialised)>;

    virtual ~PhysMemPort() = default;

    /// Reads the word as visible to this actor now; the line's cost goes to `part`.
    virtual Word load(PhysAddr address, Part part) = 0;

    /// One locked instruction: returns the old value. May block for the line; not interruptible.
    virtual Word read_modify_write(PhysAddr address, Apply apply, Part part) = 0;

    void store(PhysAddr address, Word value, Part part) {
        read_modify_write(
            address, [&](Word, Instant) { return value; }, part);
    }
    Word exchange(PhysAddr address, Word value, Part part) {
        return read_modify_write(
            address, [&](Word, Instant) { return value; }, part);
    }
    /// Returns the new value.
    std::uint64_t fetch_add(PhysAddr address, std::int64_t delta, Part part) {
        const auto add = static_cast<std::uint64_t>(delta);
        return read_modify_write(
                   address,
                   [&](Word old, Instant) {
                       return Word{old.value + add, 0};
                   },
                   part)
                   .value +
               add;
    }
};

}  // namespace mmusim::rmap
