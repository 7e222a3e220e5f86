// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// enum lru_list, in the kernel's order.
enum class LruList : unsigned {
    kInactiveAnon = 0,
    kActiveAnon = 1,
    kInactiveFile = 2,
    kActiveFile = 3,
    kUnevictable = 4
};
inline constexpr unsigned kLruLists = 5;
inline constexpr unsigned kEvictableLruLists = 4;  ///< for_each_evictable_lru(): the first ones
constexpr bool is_active_lru(LruList list) { return static_cast<unsigned>(list) & 1; }
constexpr bool is_file_lru(LruList list) { return static_cast<unsigned>(list) & 2; }

/// struct lruvec: the lists of one memory control group on one node. The node's lru_lock.
struct LruVec {
    std::array<PageList, kLruLists> lists;

    PageList& list(LruList which) { return lists[static_cast<unsigned>(which)]; }
};

/// enum pgdat_flags: what kswapd knows of its node.
enum class PgdatFlag : std::uint64_t {
    kDirty = 1 << 0,      ///< so many dirty pages of files that it may write them itself
    kWriteback = 1 << 1,  ///< so many pages under write-back that it does not wait for them
};

/// The LRU lists of all nodes (pg_data_t's part of reclaim). In front of them are the pagevecs of
/// each CPU (mm/pagevec.hpp).
class Lru {
public:
    /// Set-up.
    Lru(KernelMemory& memory, unsigned groups);

    unsigned nodes() const { return static_cast<unsigned>(nodes_.size()); }
    unsigned groups() const { return static_cast<unsigned>(nodes_.front().lruvecs.size()); }
    /// pgdat->lru_lock: taken with interrupts off.
    Lock& lru_lock(NodeId nid) { return nodes_.at(nid).lru_lock; }
    /// Bits of pgdat->flags. Time passes: Part::kLru.
    bool test_pgdat_flag(Cpu& cpu, NodeId nid, PgdatFlag flag);
    void set_pgdat_flag(Cpu& cpu, NodeId nid, PgdatFlag flag);
    /// clear_pgdat_congested(): the node is balanced.
    void clear_pgdat_flags(Cpu& cpu, NodeId nid);
    LruVec& lruvec(NodeId nid, unsigned memcg) { return nodes_.at(nid).lruvecs.at(memcg); }

    /// lruvec_lru_size(); callers hold the lru_lock, or ask for reports and tests.
    std::uint64_t size(NodeId nid, unsigned memcg, LruList list) {
        return lruvec(nid, memcg).list(list).size();
    }

    /// isolate_lru_page(): takes it off with a reference. False if it was on no list.
    bool isolate_lru_page(Cpu& cpu, Page& page);
    /// Set-up: from the active list to the head of the inactive one, as if it had been aged.
    void deactivate_page(Cpu& cpu, Page& page);

    // ---- the caller holds the lru_lock of the page's node ----
    /// page_lru() by the page's flags.
    PageList& list_of(Page& page, std::uint64_t flags);
    void add_page_to_lru_list(Cpu& cpu, Page& page);
    void add_page_to_lru_list_tail(Cpu& cpu, Page& page);
    void del_page_from_lru_list(Cpu& cpu, Page& page);
    /// __pagevec_lru_add_fn(): to the head of the list that its flags name, or of the unevictable
    /// list.
    void pagevec_lru_add_fn(Cpu& cpu, Page& page);
    /// __munlock_isolate_lru_page(): takes the page off its list, without a reference. False if it
    /// was on no list.
    bool munlock_isolate_lru_page(Cpu& cpu, Page& page);

private:
    struct Node {
        Node(KernelMemory& memory, unsigned groups)
            : lru_lock(memory.allocate_line()), flags(memory.allocate_line()), lruvecs(groups) {}
        Lock lru_lock;
        const PhysAddr flags;  ///< word
        std::deque<LruVec> lruvecs;
    };

    void link(Cpu& cpu, Page& page);

    std::deque<Node> nodes_;
};

/// page_evictable(): false while a VM_LOCKED VMA maps the page.
bool page_evictable(Cpu& cpu, const Page& page);

}  // namespace mmusim::rmap
