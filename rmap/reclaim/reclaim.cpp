// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/reclaim.hpp"

#include <algorithm>
#include <array>

#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/reclaim/lru_scan.hpp"

namespace mmusim::rmap {

namespace {

constexpr unsigned kDefPriority = 12;  // DEF_PRIORITY

bool evictable(const ReclaimControl& control, LruList list) {
    if (is_active_lru(list) && control.aging == Aging::kForbidden) return false;
    return control.from == ReclaimFrom::kBoth ||
           (control.from == ReclaimFrom::kFile) == is_file_lru(list);
}

/// The state of one call.
class Reclaim {
public:
    Reclaim(Cpu& cpu, KernelState& kernel, const ReclaimControl& control)
        : cpu_(cpu),
          kernel_(kernel),
          control_(control),
          sc_{control.nid, control.memcg, control.reclaimer, kDefPriority} {}

    ReclaimResult run() {
        while (!enough() && shrink_node() && sc_.priority > 0) --sc_.priority;
        // The node is balanced: clear_pgdat_congested().
        if (control_.reclaimer == Reclaimer::kKswapd && enough())
            kernel_.lru.clear_pgdat_flags(cpu_, control_.nid);
        return result_;
    }

private:
    bool enough() const {
        return result_.reclaimed >= control_.nr_to_reclaim ||
               result_.scanned >= control_.nr_to_scan;
    }

    /// One round. False: there was nothing that it could move or reclaim.
    bool shrink_node() {
        moved_ = 0;
        nr_ = {};
        if (control_.memcg) {
            shrink_node_memcg(*control_.memcg);
        } else {
            for (unsigned memcg = 0; memcg < kernel_.lru.groups(); ++memcg)
                shrink_node_memcg(memcg);
        }
        if (control_.reclaimer == Reclaimer::kKswapd) set_pgdat_flags();
        return moved_ > 0;
    }

    /// The end of shrink_node(): what kswapd concludes from one round.
    void set_pgdat_flags() {
        if (nr_.writeback > 0 && nr_.writeback == nr_.taken)
            kernel_.lru.set_pgdat_flag(cpu_, control_.nid, PgdatFlag::kWriteback);
        if (nr_.unqueued_dirty == nr_.file_taken)
            kernel_.lru.set_pgdat_flag(cpu_, control_.nid, PgdatFlag::kDirty);
    }

    /// get_scan_count(): anonymous pages only while there is room in swap.
    bool scanned(LruList list) {
        return evictable(control_, list) && (is_file_lru(list) || kernel_.swap.nr_free(cpu_) > 0);
    }

    /// shrink_node_memcg(): the lists in turn, each as far as it reached when the round began.
    void shrink_node_memcg(unsigned memcg) {
        end_finished_writes(cpu_, kernel_);
        std::array<std::uint64_t, kEvictableLruLists> nr{};
        for (unsigned i = 0; i < kEvictableLruLists; ++i)
            if (const auto list = static_cast<LruList>(i); scanned(list))
                nr[i] = lruvec_lru_size(cpu_, kernel_, control_.nid, memcg, list);
        while (!enough() && std::any_of(nr.begin(), nr.end(), [](auto n) { return n > 0; }))
            for (unsigned i = 0; i < kEvictableLruLists && !enough(); ++i) {
                const std::uint64_t piece = std::min(nr[i], kernel_.config.swap_cluster_max);
                nr[i] -= piece;
                if (piece) shrink_list(memcg, static_cast<LruList>(i), piece);
            }
    }

    /// shrink_list()
    void shrink_list(unsigned memcg, LruList list, std::uint64_t nr_to_scan) {
        LruScan scan{sc_, memcg, list, nr_to_scan};
        if (is_active_lru(list)) {
            if (!inactive_list_is_low(cpu_, kernel_, control_.nid, memcg, list)) return;
            shrink_active_list(cpu_, kernel_, scan);
            ++moved_;
            return;
        }
        scan.nr_to_scan = std::min(nr_to_scan, control_.nr_to_scan - result_.scanned);
        const LruScanResult done = shrink_inactive_list(cpu_, kernel_, scan);
        result_.scanned += done.taken;
        result_.reclaimed += done.reclaimed;
        moved_ += done.taken;
        nr_.taken += done.taken;
        if (is_file_lru(list)) nr_.file_taken += done.taken;
        nr_.writeback += done.stat.nr_writeback;
        nr_.unqueued_dirty += done.stat.nr_unqueued_dirty;
    }

    Cpu& cpu_;
    KernelState& kernel_;
    const ReclaimControl control_;
    ScanControl sc_;
    ReclaimResult result_;
    std::uint64_t moved_ = 0;
    /// sc->nr: what kswapd looks at when a round is over.
    struct {
        std::uint64_t taken = 0;
        std::uint64_t file_taken = 0;
        std::uint64_t writeback = 0;
        std::uint64_t unqueued_dirty = 0;
    } nr_;
};

}  // namespace

ReclaimResult reclaim_pages(Cpu& cpu, KernelState& kernel, const ReclaimControl& control) {
    const OperationId call = begin_operation(cpu, OperationKind::kReclaim, control.nr_to_reclaim);
    const ReclaimResult result = Reclaim(cpu, kernel, control).run();
    end_operation(cpu, call, OperationKind::kReclaim, Outcome::kDone, result.reclaimed);
    return result;
}

}  // namespace mmusim::rmap
