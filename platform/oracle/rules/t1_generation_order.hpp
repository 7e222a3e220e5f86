// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// T1: PTE store < tlb_gen increment < cpumask read < decision whom to interrupt, per CPU and mm.
/// The decision of a range flush is its first request to others, or else its return; that of a
/// deferred flush is the moment at which the mask is added to the batch.
class GenerationOrderMonitor final : public Monitor {
public:
    explicit GenerationOrderMonitor(Vocabulary vocabulary) : vocabulary_(vocabulary) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Key = std::pair<rmap::ActorId, rmap::MmId>;
    enum class Decision { kInterrupt, kReturn };
    /// Positions in the stream; 0 = not yet.
    struct Steps {
        std::uint64_t stored = 0;
        std::uint64_t raised = 0;
        std::uint64_t mask_read = 0;
        rmap::Instant stored_at;
    };
    struct RangeFlush {
        rmap::MmId mm = 0;
        std::uint64_t begun = 0;
        rmap::Instant begun_at;
        bool decided = false;
    };

    void decide_batch(const rmap::EventRecord& record, Findings& findings);
    void decide_range(const rmap::EventRecord& record, Decision decision, Findings& findings);
    RangeFlush* flush_of(rmap::ActorId actor);

    const Vocabulary vocabulary_;
    std::uint64_t position_ = 0;
    BoundedMap<Key, Steps> steps_;
    std::map<rmap::ActorId, RangeFlush> flushes_;
};

}  // namespace mmusim::platform
