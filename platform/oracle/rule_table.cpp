// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rule_table.hpp"

#include "platform/oracle/make_monitor.hpp"
#include "platform/oracle/rules/n10_mapped_until_cleared.hpp"
#include "platform/oracle/rules/n11_notified_before_free.hpp"
#include "platform/oracle/rules/n14_only_end.hpp"
#include "platform/oracle/rules/n15_invalidate_after_clear.hpp"
#include "platform/oracle/rules/n17_completed_invalidation.hpp"
#include "platform/oracle/rules/n19_secondary_aging.hpp"
#include "platform/oracle/rules/n1_change_in_section.hpp"
#include "platform/oracle/rules/n20_one_section_per_visit.hpp"
#include "platform/oracle/rules/n28_iotlb_before_device.hpp"
#include "platform/oracle/rules/n2_paired_sections.hpp"
#include "platform/oracle/rules/n3_refused_start.hpp"
#include "platform/oracle/rules/n4_start_may_sleep.hpp"
#include "platform/oracle/rules/n5_locked_section.hpp"
#include "platform/oracle/rules/n6_no_entry_in_section.hpp"
#include "platform/oracle/rules/n7_retry_protocol.hpp"
#include "platform/oracle/rules/n8_sequence_before_count.hpp"
#include "platform/oracle/rules/n9_client_start.hpp"
#include "platform/oracle/rules/p1_reclaim_order.hpp"
#include "platform/oracle/rules/t1_generation_order.hpp"
#include "platform/oracle/rules/t2_complete_shootdown.hpp"
#include "platform/oracle/rules/t5_write_out_after_flush.hpp"
#include "platform/oracle/rules/t6_free_after_flush.hpp"

namespace mmusim::platform {

namespace {

template <class Rule>
constexpr auto make = make_monitor<Monitor, Rule>;

}  // namespace

const std::vector<RuleRow>& rule_table() {
    static const std::vector<RuleRow> kRules = {
        {"N1", "change in section",
         "A present entry of an mm with notifiers is removed, replaced or loses a permission only "
         "inside an open section that covers its address.",
         make<ChangeInSectionMonitor>},
        {"N2", "paired sections",
         "Every notifier START is followed by exactly one END with the same mm, start and end.",
         make<PairedSectionsMonitor>},
        {"N3", "refused start", "A section whose START was refused has no END.",
         make<RefusedStartMonitor>},
        {"N4", "start may sleep",
         "START and END of a blockable section are not called with a page-table lock held or with "
         "interrupts off.",
         make<StartMaySleepMonitor>},
        {"N5", "locked section",
         "From START to END the CPU holds mmap_sem of the mm or a lock of the reverse map.",
         make<LockedSectionMonitor>},
        {"N6", "no entry in section",
         "No client makes a second-stage entry for an address inside an open section.",
         make<NoEntryInSectionMonitor>},
        {"N7", "retry protocol",
         "A client reads its sequence, resolves the page and makes the entry only if no section is "
         "open and the sequence is unchanged.",
         make<RetryProtocolMonitor>},
        {"N8", "sequence before count",
         "At the end of a section a client raises its sequence before it lowers its count.",
         make<SequenceBeforeCountMonitor>},
        {"N9", "client start",
         "A client raises its count, then removes its entries, all before START returns.",
         make<ClientStartMonitor>},
        {"N10", "mapped until cleared",
         "A page that a section unmaps is not freed before its entry is cleared.",
         make<MappedUntilClearedMonitor>},
        {"N11", "notified before free",
         "A page of an mm with notifiers is freed only after an invalidate_range for each address "
         "from which it was cleared; that of a swap entry comes under the page-table lock.",
         make<NotifiedBeforeFreeMonitor>},
        {"N14", "only end",
         "A section ends without invalidate_range only if every entry cleared in it had its own.",
         make<OnlyEndMonitor>},
        {"N15", "invalidate after clear",
         "Under a page-table lock, invalidate_range for an address does not come before its clear "
         "only.",
         make<InvalidateAfterClearMonitor>},
        {"N17", "completed invalidation",
         "When a client's invalidate_range returns, everything that it submitted is complete, and "
         "the IOTLB and the TLBs of its devices no longer hold the range.",
         make<CompletedInvalidationMonitor>},
        {"N19", "secondary aging",
         "Clearing the CPU's accessed bit is followed by clear_flush_young under the page-table "
         "lock, and a page counts as used if either says so.",
         make<SecondaryAgingMonitor>},
        {"N20", "one section per visit",
         "try_to_unmap_one opens and closes exactly one section for each VMA of an mm with "
         "notifiers.",
         make<OneSectionPerVisitMonitor>},
        {"N28", "IOTLB before device",
         "A client's invalidate_range invalidates the IOTLB, then asks the devices, and returns "
         "after they have answered.",
         make<IotlbBeforeDeviceMonitor>},
        {"T1", "generation order",
         "The PTE store precedes the tlb_gen increment, then mm_cpumask is read, then CPUs are "
         "interrupted.",
         make<GenerationOrderMonitor>},
        {"T2", "complete shootdown",
         "When flush_tlb_others returns, every CPU that it concerns has finished its flush.",
         make<CompleteShootdownMonitor>},
        {"T5", "write-out after flush",
         "A page whose dirty PTE was cleared with a deferred flush is written out only after that "
         "flush.",
         make<WriteOutAfterFlushMonitor>},
        {"T6", "free after flush",
         "A page that was unmapped with a deferred flush is freed only after that flush.",
         make<FreeAfterFlushMonitor>},
        {"P1", "reclaim order",
         "Reclaim frees a page after its last mapping is gone, it has left its cache and the batch "
         "is flushed.",
         make<ReclaimOrderMonitor>},
    };
    return kRules;
}

}  // namespace mmusim::platform
