// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "platform/oracle/bounded_map.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/cpu_mask.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// A notifier section, from the call of its START to the call of its END.
struct Section {
    rmap::ActorId actor = rmap::kNoActor;
    rmap::MmId mm = 0;
    rmap::VirtRange range{};
    bool blockable = true;
    bool open = false;     ///< START has returned and was not refused
    rmap::Instant called;  ///< START
    rmap::Instant opened;  ///< ... and its return
};

/// The notifier sections that are under way. Remembers kPerMm sections of each of kMms address
/// spaces: every CPU may be in one, and in another that is nested in it. An END that never comes
/// does not make it grow.
class Sections {
public:
    static constexpr std::size_t kPerMm = 2 * rmap::kMaxCpus;
    static constexpr std::size_t kMms = 4096;

    static std::vector<rmap::Event> events();

    /// Takes note of its own events and ignores others.
    void on_record(const rmap::EventRecord& record);

    /// The innermost open one that covers `address`, of `actor` if it has one, else of anybody.
    const Section* covering(rmap::MmId mm, rmap::VirtAddr address, rmap::ActorId actor);

    /// The innermost one of `actor` with this range; null if there is none.
    const Section* of(rmap::ActorId actor, rmap::MmId mm, rmap::VirtRange range);

    /// The innermost open one of `actor` in `mm`.
    const Section* innermost(rmap::ActorId actor, rmap::MmId mm);

private:
    using List = std::vector<Section>;

    void start(const rmap::EventRecord& record);
    void start_returns(const rmap::EventRecord& record);
    void end(const rmap::EventRecord& record);

    BoundedMap<rmap::MmId, List> sections_{kMms};  ///< oldest first
};

/// The mm and the range of kMnStart, kMnStartRet, kMnEnd, kMnEndRet and kMnInvalidateRange.
inline rmap::MmId section_mm(const rmap::EventRecord& record) { return record.arguments[0]; }
inline rmap::VirtRange section_range(const rmap::EventRecord& record) {
    return {{record.arguments[1]}, {record.arguments[2]}};
}

}  // namespace mmusim::platform
