// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/tlb/tlb_array.hpp"
#include "models/walker/walk_cache.hpp"
#include "models/walker/walk_port.hpp"
#include "models/walker/walker_config.hpp"
#include "models/walker/walker_stats.hpp"
#include "rmap/types/function_ref.hpp"

namespace mmusim::models {

struct WalkRequest {
    rmap::VirtAddr address{};
    rmap::Access access{};
    TlbTag tag;  ///< with a vm: the guest's address, through both stages
    rmap::PhysAddr root{};
    rmap::PhysAddr second_root{};            ///< used with a vm only
    std::optional<WalkedTable> known_table;  ///< of level 1: the walk is of its entry only
};

struct WalkResult {
    rmap::Fault fault = rmap::Fault::kNone;
    Translation translation;           ///< meaningful only without a fault
    SecondStageViolation violation;    ///< meaningful only with kSecondStage
    std::optional<WalkedTable> table;  ///< the last of level 1 that it went through
};

/// The walk of page tables of any format, in one stage or two. Where it begins is told by the
/// paging-structure caches: below the lowest entry that one of them knows. A leaf's accessed and
/// dirty bits are set in the mapping that was read and in no other: if the entry has changed
/// meanwhile, what it says now counts.
/// In two stages the address of each of the guest's entries, and that of the page, goes through the
/// second stage (Intel SDM vol. 3, 28.3; Arm ARM D8.2; RISC-V privileged architecture, 15.5): 24
/// reads for four levels each. Bits of the guest are set before the page's own second stage is
/// looked at, and stay set if that is violated. The translation is of the smaller page of both,
/// with the permissions of both (28.4.1). After a fault nothing is known any more of the way to its
/// address (4.10.4.1). Plain: time passes through the port only.
class TableWalker {
public:
    explicit TableWalker(const WalkerConfig& config);

    WalkResult walk(const WalkRequest& request, WalkPort& port);

    /// Drops what the scope says from all caches; returns how many entries. A walk under way, which
    /// waits for its memory, adds nothing to them any more if it is of the same vm.
    std::uint64_t invalidate(const TlbScope& scope);

    const WalkerStats& stats() const { return stats_; }
    const TlbStats& second_tlb_stats() const { return second_tlb_.stats(); }

private:
    enum class StageId { kFirst, kSecond };
    struct Stage {
        Stage(const WalkStageConfig& config, StageId stage);
        StageId id;
        const rmap::PageTableFormat& format;
        BitUpdate accessed;
        BitUpdate dirty;
        std::vector<WalkCache> caches;  ///< ascending by level
        rmap::Duration lookup{};        ///< of all of them together

        bool heeds_bits() const;
        rmap::TableEntry decode(const rmap::Word& word, unsigned level) const;
    };
    /// Where an entry is in the host's memory.
    struct Place {
        rmap::PhysAddr address{};
        bool dirty = true;     ///< see WalkedTable::Located
        unsigned order = ~0u;  ///< of the second stage's page that it lies in
        rmap::Instant oldest_read = rmap::kNever;
    };
    /// Finds it for an access of the walk; nothing: the second stage does not allow that.
    using Locate = rmap::FunctionRef<std::optional<Place>(rmap::PhysAddr, rmap::Access)>;

    /// One walk of one stage.
    struct Way {
        Stage& stage;
        std::uint64_t address;
        rmap::Access access;
        TlbTag tag;
        WalkPort& port;
        Locate locate;
        WalkedTable table{};  ///< in which the next entry is
        unsigned level = 0;   ///< of that entry
        bool cached = false;  ///< the caches know the table
        WalkPort::Read read{};
        rmap::TableEntry entry{};  ///< what was read says
    };

    rmap::Fault walk_both(const WalkRequest& request, WalkPort& port, WalkResult& result);
    rmap::Fault walk_stage(Way& way, Translation& leaf);
    void begin(Way& way, rmap::PhysAddr root);
    std::optional<Place> place_of_entry(const Way& way) const;
    rmap::Access table_access() const;
    void keep(Way& way, const Place& place);
    rmap::Fault use_leaf(Way& way, const Place& place);
    bool mark(Way& way, const Place& place);
    std::optional<Translation> second_stage(rmap::GuestPhysAddr address, rmap::Access access,
                                            const WalkRequest& request, WalkPort& port,
                                            SecondStageViolation& violation);
    void count_read(const Way& way);
    WalkStageStats& stats_of(const Stage& stage) {
        return stage.id == StageId::kFirst ? stats_.first : stats_.second;
    }
    static void forget(Way& way);

    const WalkerConfig config_;
    Stage first_;
    Stage second_;
    TlbArray second_tlb_;
    std::optional<rmap::VmId> walking_;  ///< of whom; none: no walk is under way
    bool overtaken_ = false;             ///< by an invalidation: nothing is to be kept of it
    std::size_t reads_ = 0;              ///< of the walk under way
    WalkerStats stats_;
};

/// Both stages in one entry for the guest's `page` (28.4.1, combined mappings): the smaller of
/// their pages, the permissions of both, `dirty` if no bit is left to be set in either. Generation
/// and time of reading are those of the second stage's leaf.
Translation combine(rmap::PageNumber page, const Translation& first, const Translation& second);

/// Where `address` is, given the leaf that maps it.
rmap::PhysAddr physical(rmap::GuestPhysAddr address, const Translation& leaf);

}  // namespace mmusim::models
