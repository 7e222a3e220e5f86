// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "models/observe/access_record.hpp"
#include "models/observe/settled_stream.hpp"
#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/diagnosis.hpp"
#include "platform/oracle/operation_names.hpp"
#include "platform/oracle/verdict.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

inline constexpr char kStaleTranslation[] = "stale-translation";  ///< use after the frame's free
inline constexpr char kLostWrite[] = "lost-write";  ///< write after the content was handed over

struct AgentNames {
    ActorName actor;  ///< of a record's actor: "core3"
    /// Where the one that judge() is called for has the translation of an access: "core3.dtlb".
    std::function<std::string(rmap::ActorId, rmap::Access)> translation;
    /// The actor that invalidates the TLB of the same, if that is a device; the device itself if it
    /// has none; kNoActor for a core.
    /// Without this function all are cores.
    std::function<rmap::ActorId(rmap::ActorId)> device_tlb = {};
};

/// Judges every access through a cached translation by the generation of its frame. Ends of
/// generations are told at emission: by the time model all ends up to t are known when kernel time
/// has passed t, and accesses are judged no earlier. An access at the very time of an end is wrong.
/// As an event sink it only watches the time of the stream, to explain violations while the
/// history that explains them is still there; it comes after the histories in the stream.
class FrameOracle final : public models::AccessObserver, public models::EventSink {
public:
    FrameOracle(const Histories& histories, const OperationNames& operations, AgentNames names);

    /// `generation` of `frame` ends at `end`. The generations of one frame end in ascending order.
    void frame_ended(rmap::FrameNumber frame, const FrameEnd& end);

    void judge(rmap::ActorId agent, const models::AccessBatch& uses) override;
    void on_record(const rmap::EventRecord& record) override;

    /// Explains the rest. The earliest kMaxViolations in order of (time, agent), one per agent,
    /// frame, generation and kind: the first such use.
    std::vector<Violation> finish();

    /// Wrong uses that a hazard of the kernel explains, which are no violations.
    struct HazardUses {
        std::uint64_t count = 0;  ///< all, also the repeated ones
        Violation first;          ///< by (time, agent)
    };
    /// By hazard. After finish().
    const std::map<std::string_view, HazardUses>& hazard_uses() const { return hazard_uses_; }

    std::uint64_t checked() const { return checked_; }
    std::uint64_t stale_uses() const { return stale_uses_; }  ///< all, also the repeated ones
    std::uint64_t lost_writes() const { return lost_writes_; }

private:
    using Order = std::tuple<std::uint64_t, rmap::ActorId, std::uint64_t>;  ///< ps, agent, frame
    using Identity = std::tuple<rmap::ActorId, std::uint64_t, rmap::Generation, FrameEndKind>;
    struct Found {
        StaleUse use;
        std::uint64_t further_uses = 0;
        Diagnosis diagnosis;
        std::string operation_name;
    };

    void judge_ended(rmap::ActorId agent, const models::AccessRecord& access);
    void add(const StaleUse& use);
    void explain_until(rmap::Instant time);
    void move_to_hazard(Order order);
    std::uint64_t& uses_of(FrameEndKind kind) {
        return kind == FrameEndKind::kFreed ? stale_uses_ : lost_writes_;
    }
    Violation violation(const Found& found) const;
    static Order order_of(const StaleUse& use);
    static Identity identity_of(const StaleUse& use);

    const Histories histories_;
    const OperationNames& operations_;
    const AgentNames names_;
    std::vector<rmap::Generation> current_;  ///< by frame: lowest generation that has not ended
    std::unordered_map<rmap::FrameNumber, std::vector<FrameEnd>> ends_;
    std::map<Order, Found> found_;
    std::map<Identity, Order> first_use_;  ///< of the ones in found_
    std::set<Order> unexplained_;
    BoundedMap<Identity, std::string_view> by_hazard_;  ///< uses that a hazard explains
    std::map<std::string_view, HazardUses> hazard_uses_;
    std::map<std::string_view, Order> first_hazard_use_;
    rmap::Instant next_explanation_ = rmap::kNever;
    std::uint64_t checked_ = 0;
    std::uint64_t stale_uses_ = 0;
    std::uint64_t lost_writes_ = 0;
};

}  // namespace mmusim::platform
