// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <deque>

#include "rmap/mm/page.hpp"

namespace mmusim::rmap {

/// enum lru_list, in the kernel's order; the unevictable list is not modelled.
enum class LruList : unsigned {
    kInactiveAnon = 0,
    kActiveAnon = 1,
    kInactiveFile = 2,
    kActiveFile = 3
};
inline constexpr unsigned kLruLists = 4;
constexpr bool is_active_lru(LruList list) { return static_cast<unsigned>(list) & 1; }
constexpr bool is_file_lru(LruList list) { return static_cast<unsigned>(list) & 2; }

/// struct lruvec: the lists of one memory control group on one node. The node's lru_lock.
struct LruVec {
    std::array<PageList, kLruLists> lists;

    PageList& list(LruList which) { return lists[static_cast<unsigned>(which)]; }
};

/// The LRU lists of all nodes (pg_data_t's part of reclaim). Pages go to their list at once: the
/// per-CPU pagevecs in front of it are not modelled.
class Lru {
public:
    /// Set-up.
    Lru(KernelMemory& memory, unsigned groups);

    unsigned nodes() const { return static_cast<unsigned>(nodes_.size()); }
    unsigned groups() const { return static_cast<unsigned>(nodes_.front().lruvecs.size()); }
    /// pgdat->lru_lock: taken with interrupts off.
    Lock& lru_lock(NodeId nid) { return nodes_.at(nid).lru_lock; }
    LruVec& lruvec(NodeId nid, unsigned memcg) { return nodes_.at(nid).lruvecs.at(memcg); }

    /// lru_list_size(): as of the lock's last holder; callers hold the lru_lock, or ask for
    /// reports and tests.
    std::uint64_t size(NodeId nid, unsigned memcg, LruList list) {
        return lruvec(nid, memcg).list(list).size();
    }

    /// lru_cache_add(): puts a page on the list that its flags name, at the head.
    void lru_cache_add(Cpu& cpu, Page& page);
    /// isolate_lru_page(): takes it off with a reference. False if it was on no list.
    bool isolate_lru_page(Cpu& cpu, Page& page);
    /// activate_page(): from the inactive list to the head of the active one.
    void activate_page(Cpu& cpu, Page& page);
    /// deactivate_page(): the other way round.
    void deactivate_page(Cpu& cpu, Page& page);
    /// mark_page_accessed(): the second reference to a page activates it.
    void mark_page_accessed(Cpu& cpu, Page& page);

    // ---- the caller holds the lru_lock of the page's node ----
    /// page_lru() by the page's flags.
    PageList& list_of(Page& page, std::uint64_t flags);
    void add_page_to_lru_list(Cpu& cpu, Page& page);
    void del_page_from_lru_list(Cpu& cpu, Page& page);

private:
    struct Node {
        Node(PhysAddr word, unsigned groups) : lru_lock(word), lruvecs(groups) {}
        Lock lru_lock;
        std::deque<LruVec> lruvecs;
    };

    enum class Active { kNo, kYes };
    void set_active(Cpu& cpu, Page& page, Active active);

    std::deque<Node> nodes_;
};

}  // namespace mmusim::rmap
