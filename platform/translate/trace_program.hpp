// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "models/cpu/core_module.hpp"
#include "models/cpu/mmu_config.hpp"
#include "platform/trace/trace_reader.hpp"
#include "platform/translate/first_touch.hpp"
#include "platform/translate/translate_options.hpp"
#include "platform/translate/translate_result.hpp"

namespace mmusim::platform {

/// What the core of `mmusim translate` runs: the references of a trace, one after the other.
class TraceProgram final : public models::CoreSoftware {
public:
    /// `cycle` is the time of an instruction or access besides its translation. All others outlive
    /// the program.
    TraceProgram(TraceReader& trace, const models::MmuConfig& mmu, rmap::Duration cycle,
                 const TranslateOptions& options);

    /// Where the pages are; before the simulation begins.
    void use(FirstTouch& pages) { pages_ = &pages; }

    void run(models::CoreModule& core) override;
    void handle_interrupt(models::CoreModule& core, const rmap::TakenInterrupt& taken) override;

    /// What this has counted: everything about references, TLBs and latencies.
    void collect(TranslateResult& result) const;

private:
    /// A bit for each level that missed, as CoreModule::missed_levels().
    using Missed = std::uint32_t;

    References selected(References references);
    template <Straddle straddle>
    void translate(References references, models::CoreModule& core);
    Missed translate_page(rmap::VirtAddr address, rmap::Access access, models::CoreModule& core,
                          models::CoreModule::Ask ask);
    void translate_straddling(const Reference& reference, rmap::Access access,
                              models::CoreModule& core);
    TlbCounts counts_of(const models::TlbConfig& tlb) const;

    TraceReader& trace_;
    const models::MmuConfig& mmu_;
    const rmap::Duration cycle_;
    const TranslateOptions& options_;
    FirstTouch* pages_ = nullptr;
    std::uint64_t to_skip_;
    std::uint64_t left_;
    bool stopped_ = false;
    rmap::Duration simulated_;

    std::array<std::uint64_t, kReferenceKinds> references_{};
    std::uint64_t straddling_ = 0;
    ByAccess<std::uint64_t> quick_hits_;  ///< of the first level, by references of one page
    ByAccess<std::vector<std::uint64_t>> by_missed_;  ///< all others, by Missed
    LatencyHistogram latency_;                        ///< without quick hits
};

}  // namespace mmusim::platform
