// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"

namespace mmusim::platform {

/// P1: reclaim frees a page in this order: no mapping left, out of the page or swap cache (with
/// its references frozen), TLB batch flush, allocator. Judged when a page that left its cache in
/// shrink_page_list is freed; compound pages are not (hazard HZ1).
class ReclaimOrderMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Frame = std::uint64_t;
    enum class Cache { kLeaving, kLeft };
    struct Removal {
        rmap::ActorId actor = rmap::kNoActor;
        Cache cache = Cache::kLeaving;
        std::uint64_t mapcount = 0;  ///< when it was about to leave
        std::uint64_t position = 0;  ///< in the stream
        rmap::Instant time;
    };
    struct Reclaimer {
        unsigned lists = 0;  ///< shrink_page_list calls that it is in
        Frame removing = 0;
        std::uint64_t flushed = 0;  ///< position of its last try_to_unmap_flush
    };

    void add_mapping(Frame frame);
    void set_mapcount(Frame frame, std::uint64_t mapcount);
    void begin_removal(const rmap::EventRecord& record);
    void end_removal(const rmap::EventRecord& record);
    void judge_free(const rmap::EventRecord& record, Findings& findings);

    std::uint64_t position_ = 0;
    BoundedMap<Frame, std::uint64_t> mapcounts_;  ///< known ones above 0
    BoundedMap<Frame, Removal> removals_;
    std::map<rmap::ActorId, Reclaimer> reclaimers_;
};

}  // namespace mmusim::platform
