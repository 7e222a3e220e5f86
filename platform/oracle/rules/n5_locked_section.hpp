// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/sections.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// N5: from START to END the CPU holds mmap_sem of the mm or a lock of the reverse map, so that no
/// client can be registered in between. Judges only streams that show mmap_sem.
class LockedSectionMonitor final : public Monitor {
public:
    explicit LockedSectionMonitor(Vocabulary vocabulary)
        : judges_(shows(vocabulary, rmap::Event::kMmapSemLock)) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    struct Started {
        rmap::MmId mm = 0;
        rmap::VirtRange range{};
        rmap::Instant time;
    };
    struct Cpu {
        std::multiset<rmap::MmId> mmap_sems;
        std::set<std::uint64_t> rmap_locks;
        bool page_lock_anon_vma = false;  ///< its lock is known only when it is dropped
        std::vector<Started> sections;    ///< without those that are found unlocked

        bool locks(rmap::MmId mm) const;
        void drop_rmap_lock(std::uint64_t lock);
        void end(const rmap::EventRecord& record);
    };

    void start(const rmap::EventRecord& record, Findings& findings);
    void judge_unlock(const rmap::EventRecord& record, Findings& findings);

    const bool judges_;
    std::map<rmap::ActorId, Cpu> cpus_;
};

}  // namespace mmusim::platform
