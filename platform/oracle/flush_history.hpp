// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "models/observe/settled_stream.hpp"
#include "platform/oracle/recent.hpp"
#include "rmap/types/address.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// A present PTE was cleared. `position` counts the records of the history, from 1.
struct PteClear {
    std::uint64_t position = 0;
    rmap::Instant time;
    rmap::ActorId actor = rmap::kNoActor;
    rmap::OperationId operation = 0;
    rmap::MmId mm = 0;
    rmap::PageNumber page{};
    rmap::FrameNumber frame{};
    rmap::Generation generation = 0;
    rmap::Event how{};
};

/// flush_tlb_mm_range or arch_tlbbatch_flush, from its call to its return.
struct FlushRound {
    std::uint64_t position = 0;
    std::uint64_t end_position = ~std::uint64_t{0};  ///< largest while it has not returned
    rmap::Instant time;
    rmap::ActorId actor = rmap::kNoActor;
    rmap::Event what{};
    rmap::MmId mm = 0;  ///< 0: every mm of the batch
    rmap::VirtRange range = rmap::kAllAddresses;
    std::optional<std::uint64_t> cpumask;  ///< first word, as read by the initiator
    std::uint64_t lazy = 0;                ///< CPUs left out because they are lazy, first word
};

/// What one CPU did about flushes: kTlbInvalidated, kFlushTlbFunc, kTlbFlush, kCallFunctionAck.
struct FlushAct {
    std::uint64_t position = 0;
    rmap::Instant time;
    rmap::Event what{};
    rmap::MmId mm = 0;
    rmap::VirtRange range{};
    std::uint64_t number = 0;  ///< kCallFunctionAck: the initiator; kTlbFlush: pages
};

/// Who cleared what and who flushed what, for explaining a stale translation afterwards.
class FlushHistory final : public models::EventSink {
public:
    static constexpr std::size_t kKept = 65536;     ///< clears, and rounds
    static constexpr std::size_t kActsKept = 8192;  ///< per CPU

    static const std::vector<rmap::Event>& events();
    void on_record(const rmap::EventRecord& record) override;

    const Recent<PteClear>& clears() const { return clears_; }
    const Recent<FlushRound>& rounds() const { return rounds_; }
    const Recent<FlushAct>& acts(rmap::ActorId actor) const;

private:
    void add_clear(const rmap::EventRecord& record);
    void open_round(const rmap::EventRecord& record);
    void close_round(const rmap::EventRecord& record);
    void add_act(const rmap::EventRecord& record);
    FlushRound* round_of(rmap::ActorId actor);

    std::uint64_t position_ = 0;
    Recent<PteClear> clears_{kKept};
    Recent<FlushRound> rounds_{kKept};
    std::unordered_map<rmap::ActorId, Recent<FlushAct>> acts_;
    std::unordered_map<rmap::ActorId, std::uint64_t> open_rounds_;  ///< actor -> position
    std::unordered_map<rmap::ActorId, std::uint64_t> asked_lazy_;   ///< actor -> CPU asked about
};

}  // namespace mmusim::platform
