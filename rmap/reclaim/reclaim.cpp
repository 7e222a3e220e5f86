// SPDX-License-Identifier: Apache-2.0
#include "rmap/reclaim/reclaim.hpp"

#include <algorithm>
#include <array>

#include "rmap/mm/operation.hpp"
#include "rmap/reclaim/lru_scan.hpp"

namespace mmusim::rmap {

namespace {

constexpr unsigned kRounds = 13;  // DEF_PRIORITY + 1

bool evictable(const ReclaimControl& control, LruList list) {
    if (is_active_lru(list) && control.aging == Aging::kForbidden) return false;
    return control.from == ReclaimFrom::kBoth ||
           (control.from == ReclaimFrom::kFile) == is_file_lru(list);
}

/// The state of one call.
class ShrinkNode {
public:
    ShrinkNode(Cpu& cpu, KernelState& kernel, const ReclaimControl& control)
        : cpu_(cpu), kernel_(kernel), control_(control) {}

    ReclaimResult run() {
        for (unsigned round = 0; round < kRounds && !enough(); ++round) {
            moved_ = 0;
            if (control_.memcg) {
                shrink_node_memcg(*control_.memcg);
            } else {
                for (unsigned memcg = 0; memcg < kernel_.lru.groups(); ++memcg)
                    shrink_node_memcg(memcg);
            }
            if (moved_ == 0) break;
        }
        return result_;
    }

private:
    bool enough() const {
        return result_.reclaimed >= control_.nr_to_reclaim ||
               result_.scanned >= control_.nr_to_scan;
    }

    /// shrink_node_memcg(): the lists in turn, each as far as it reached when the round began.
    void shrink_node_memcg(unsigned memcg) {
        std::array<std::uint64_t, kEvictableLruLists> nr{};
        for (unsigned i = 0; i < kEvictableLruLists; ++i)
            if (const auto list = static_cast<LruList>(i); evictable(control_, list))
                nr[i] = lru_size(cpu_, kernel_, control_.nid, memcg, list);
        while (!enough() && std::any_of(nr.begin(), nr.end(), [](auto n) { return n > 0; }))
            for (unsigned i = 0; i < kEvictableLruLists && !enough(); ++i) {
                const std::uint64_t piece = std::min(nr[i], kernel_.config.swap_cluster_max);
                nr[i] -= piece;
                if (piece) shrink_list(memcg, static_cast<LruList>(i), piece);
            }
    }

    /// shrink_list()
    void shrink_list(unsigned memcg, LruList list, std::uint64_t nr_to_scan) {
        LruScan scan{control_.nid, memcg, list, nr_to_scan, control_.memcg};
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
    }

    Cpu& cpu_;
    KernelState& kernel_;
    const ReclaimControl control_;
    ReclaimResult result_;
    std::uint64_t moved_ = 0;
};

}  // namespace

ReclaimResult shrink_node(Cpu& cpu, KernelState& kernel, const ReclaimControl& control) {
    const OperationId call = begin_operation(cpu, OperationKind::kReclaim, control.nr_to_reclaim);
    const ReclaimResult result = ShrinkNode(cpu, kernel, control).run();
    end_operation(cpu, call, OperationKind::kReclaim, Outcome::kDone, result.reclaimed);
    return result;
}

}  // namespace mmusim::rmap
