// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/hazard_table.hpp"

#include <fmt/format.h>

#include "platform/oracle/hazards/hz12_pinned_lazyfree.hpp"
#include "platform/oracle/hazards/hz13_missed_mapping.hpp"
#include "platform/oracle/hazards/hz14_own_callback.hpp"
#include "platform/oracle/hazards/hz16_empty_invalidation.hpp"
#include "platform/oracle/hazards/hz2_lost_mapping.hpp"
#include "platform/oracle/hazards/hz5_accepted_start.hpp"
#include "platform/oracle/hazards/hz7_unaligned_iotlb.hpp"
#include "platform/oracle/hazards/hz9_forgotten_flush.hpp"
#include "platform/oracle/make_monitor.hpp"

namespace mmusim::platform {

namespace {

template <class Hazard>
constexpr auto make = make_monitor<HazardMonitor, Hazard>;

}  // namespace

const std::vector<HazardRow>& hazard_table() {
    static const std::vector<HazardRow> kHazards = {
        {"HZ1", "huge page freed early",
         "Reclaim gives a compound page back before the batch flush at the end of its list.",
         "TLB entries of a free huge page, until that flush", "v4.14", "v6.12", "huge pages",
         nullptr},
        {"HZ2", "mapping lost",
         "try_to_unmap clears the entry of an anonymous page whose swap flags contradict each "
         "other, "
         "warns, and leaves the entry empty with all counts unchanged.",
         "an entry that is cleared, not replaced and still counted; the page stays mapped for ever",
         "", "", "", make<LostMappingMonitor>},
        {"HZ3", "swap count leaked",
         "When arch_unmap_one fails, the swap count that was taken just before is not given back.",
         "a swap slot that is never free", "", "v6.1",
         "an architecture with arch_unmap_one: sparc64; x86 and arm64 cannot reach it", nullptr},
        {"HZ4", "device-private subpage",
         "try_to_unmap computes the subpage of a device-private page from its swap entry as if "
         "that "
         "were a present one.",
         "page_remove_rmap of another page", "", "v5.12", "device-private pages", nullptr},
        {"HZ5", "refused start without end",
         "A START that may not block is refused by one client, and those that had accepted it get "
         "no "
         "END.",
         "a client whose count stays raised: its faults retry for ever", "", "v5.12", "",
         make<AcceptedStartMonitor>},
        {"HZ6", "dirty bit of a huge page lost",
         "set_pmd_migration_entry ignores the value that its exchange returns.",
         "a write between reading and exchanging the entry is lost", "", "v5.10", "huge pages",
         nullptr},
        {"HZ7", "unaligned IOTLB invalidation",
         "Intel SVM invalidates a power of two of pages from an address that is not aligned to it; "
         "the hardware ignores the low bits, so the end of the range is missed.",
         "a device that uses translations of freed pages", "", "v6.1", "",
         make<UnalignedIotlbMonitor>},
        {"HZ8", "aging of an empty range",
         "KVM's test_young walks an empty range, so it always says not young.",
         "pages that only a guest uses are reclaimed", "", "v5.10", "arm64", nullptr},
        {"HZ9", "deferred flush forgotten",
         "tlb_flush_batched is one bit: taking it back after a flush also takes back what was "
         "deferred meanwhile, and the next who looks trusts that nothing is left to flush.",
         "stale TLB entries after munmap or mprotect, until the batch flush", "", "v6.1", "",
         make<ForgottenFlushMonitor>},
        {"HZ10", "late flush of device migration",
         "migrate_vma_collect flushes after dropping the page-table lock and ignores "
         "tlb_flush_batched.",
         "writes through a stale entry after the migration entry is there", "", "v6.1",
         "migrate_vma", nullptr},
        {"HZ11", "flush of an old entry",
         "Clearing the access flag does not wait for its TLBI, and clearing an old entry issues "
         "none.",
         "nothing completes the invalidation before the page is reused", "", "", "arm64", nullptr},
        {"HZ12", "pinned page discarded",
         "try_to_unmap discards a clean lazyfree page without looking whether somebody else holds "
         "a "
         "reference.",
         "a page that is unmapped and not freed; what direct I/O writes into it is lost", "",
         "v5.18", "", make<PinnedLazyfreeMonitor>},
        {"HZ13", "mapping missed",
         "The unlocked look of page_vma_mapped_walk passes an entry that another CPU has cleared "
         "and "
         "not yet uncounted.",
         "try_to_unmap fails just before the last mapping is gone; the page stays", "", "v5.14", "",
         make<MissedMappingMonitor>},
        {"HZ14", "initiator's own callback",
         "The initiator of a shootdown runs its own remote callback when the others are done.",
         "flush_tlb_func_remote inside the own flush_tlb_others; costs its time", "", "v5.13", "",
         make<OwnCallbackMonitor>},
        {"HZ15", "unshare beyond a split VMA",
         "After a VMA split inside a shared 1 GiB hugetlb range, unsharing clears entries outside "
         "of "
         "what is notified and flushed.",
         "stale translations in the rest of that GiB", "", "v6.1.192", "hugetlb", nullptr},
        {"HZ16", "empty invalidation",
         "A gather of a whole mm invalidates [~0, ~0) in the secondary MMUs.",
         "invalidate_range for no address", "", "", "", make<EmptyInvalidationMonitor>},
    };
    return kHazards;
}

std::string kernels_text(const HazardRow& row) {
    std::string text = row.since.empty() ? "in v5.0" : fmt::format("since {}", row.since);
    if (!row.gone.empty()) text += fmt::format(", gone in {}", row.gone);
    return text;
}

}  // namespace mmusim::platform
