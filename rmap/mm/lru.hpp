// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "rmap/mm/page.hpp"
#include "rmap/mm/vm_event.hpp"
#include "rmap/mm/vma.hpp"

namespace mmusim::rmap {

struct KernelState;

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

/// The LRU lists of all nodes (pg_data_t's part of reclaim). Pages go to their list at once: the
/// per-CPU pagevecs in front of it are not modelled.
class Lru {
public:
    /// Set-up.
    Lru(KernelMemory& memory, unsigned groups, VmEventCounters& vm_events);

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

    /// lru_list_size(): as of the lock's last holder; callers hold the lru_lock, or ask for
    /// reports and tests.
    std::uint64_t size(NodeId nid, unsigned memcg, LruList list) {
        return lruvec(nid, memcg).list(list).size();
    }

    /// lru_cache_add(): puts a page at the head of the list that its flags name, or of the
    /// unevictable list.
    void lru_cache_add(Cpu& cpu, Page& page);
    /// lru_cache_add_active_or_unevictable(): a new page of a VMA, whose mmap_sem is held. In a
    /// VM_LOCKED one it is mlocked from the start.
    void lru_cache_add_active_or_unevictable(Cpu& cpu, Page& page, const Vma& vma);
    /// isolate_lru_page(): takes it off with a reference. False if it was on no list.
    bool isolate_lru_page(Cpu& cpu, Page& page);
    /// activate_page(): from the inactive list to the head of the active one.
    void activate_page(Cpu& cpu, Page& page);
    /// deactivate_page(): the other way round.
    void deactivate_page(Cpu& cpu, Page& page);
    /// rotate_reclaimable_page(): a page that reclaim had to write is clean now and goes to the
    /// tail, where it is reclaimed next; unless somebody has locked, dirtied or isolated it.
    void rotate_reclaimable_page(Cpu& cpu, Page& page);
    /// mark_page_accessed(): the second reference to a page activates it.
    void mark_page_accessed(Cpu& cpu, Page& page);
    /// mark_page_lazyfree(): MADV_FREE has found the page clean. It loses PG_swapbacked and goes to
    /// the inactive file list, to be dropped unless somebody writes to it before. Nothing happens
    /// to a page that is isolated, mlocked, in the swap cache, or lazyfree already.
    void mark_page_lazyfree(Cpu& cpu, Page& page);

    // ---- the caller holds the lru_lock of the page's node ----
    /// page_lru() by the page's flags.
    PageList& list_of(Page& page, std::uint64_t flags);
    void add_page_to_lru_list(Cpu& cpu, Page& page);
    void add_page_to_lru_list_tail(Cpu& cpu, Page& page);
    void del_page_from_lru_list(Cpu& cpu, Page& page);
    /// __pagevec_lru_add_fn(): what lru_cache_add() does under the lock.
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

    enum class Active { kNo, kYes };
    void set_active(Cpu& cpu, Page& page, Active active);
    void link(Cpu& cpu, Page& page);

    bool may_be_lazyfree(Cpu& cpu, const Page& page) const;

    std::deque<Node> nodes_;
    VmEventCounters& vm_events_;
};

/// page_evictable(): false while a VM_LOCKED VMA maps the page.
bool page_evictable(Cpu& cpu, const Page& page);

/// putback_lru_page(): an isolated page returns to the list it belongs to, without the reference of
/// its isolation.
void putback_lru_page(Cpu& cpu, KernelState& kernel, Page& page);

/// lru_add_drain(): pages are on their lists at once here, so what is left to do is what captures
/// show of it, the end of release_pages().
void lru_add_drain(Cpu& cpu, KernelState& kernel);

/// __pagevec_lru_add(): pages of one node go to their lists in one go, and each loses a reference.
void pagevec_lru_add(Cpu& cpu, KernelState& kernel, const std::vector<Page*>& pages);

}  // namespace mmusim::rmap
