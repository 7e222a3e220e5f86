// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rule_table.hpp"

#include <type_traits>

#include "platform/oracle/rules/n2_paired_sections.hpp"
#include "platform/oracle/rules/n9_client_start.hpp"
#include "platform/oracle/rules/p1_reclaim_order.hpp"
#include "platform/oracle/rules/t1_generation_order.hpp"
#include "platform/oracle/rules/t2_complete_shootdown.hpp"
#include "platform/oracle/rules/t5_write_out_after_flush.hpp"
#include "platform/oracle/rules/t6_free_after_flush.hpp"

namespace mmusim::platform {

namespace {

template <class Rule>
std::unique_ptr<Monitor> make(Vocabulary vocabulary) {
    if constexpr (std::is_constructible_v<Rule, Vocabulary>)
        return std::make_unique<Rule>(vocabulary);
    else
        return static_cast<void>(vocabulary), std::make_unique<Rule>();
}

}  // namespace

const std::vector<RuleRow>& rule_table() {
    static const std::vector<RuleRow> kRules = {
        {"N2", "paired sections",
         "Every notifier START is followed by exactly one END with the same mm, start and end.",
         make<PairedSectionsMonitor>},
        {"N9", "client start",
         "A client raises its count, then removes its entries, all before START returns.",
         make<ClientStartMonitor>},
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
