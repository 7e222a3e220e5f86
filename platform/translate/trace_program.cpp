// SPDX-License-Identifier: Apache-2.0
#include "platform/translate/trace_program.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"

namespace mmusim::platform {

using models::CoreModule;
using rmap::Access;
using rmap::Duration;
using rmap::VirtAddr;

namespace {

models::Stream stream_of(Access access) {
    return access == Access::kExecute ? models::Stream::kFetch : models::Stream::kData;
}

/// What the MMU is asked for. A modification needs the permission to write.
template <Straddle straddle>
Access access_of(ReferenceKind kind) {
    static constexpr std::array<Access, kReferenceKinds> kAccesses = {
        Access::kExecute, Access::kRead, Access::kWrite,
        straddle == Straddle::kMmu ? Access::kWrite : Access::kRead};
    return kAccesses[static_cast<std::size_t>(kind)];
}

void require_done(rmap::Fault fault) {
    MMUSIM_CHECK(fault == rmap::Fault::kNone, "what was touched is mapped for everything");
}

}  // namespace

TraceProgram::TraceProgram(TraceReader& trace, const models::MmuConfig& mmu, Duration cycle,
                           const TranslateOptions& options)
    : trace_(trace),
      mmu_(mmu),
      cycle_(cycle),
      options_(options),
      to_skip_(options.skip),
      left_(options.limit) {
    unsigned levels = 0;
    for (const auto& tlb : mmu.tlbs) levels = std::max(levels, tlb.level);
    for (auto& counts : by_missed_.values) counts.resize(std::size_t{1} << levels);
}

void TraceProgram::run(CoreModule& core) {
    rmap::TlbOperation load_space;
    load_space.kind = rmap::TlbOperation::Kind::kCr3Write;
    load_space.root = pages_->root();
    core.maintain(load_space, {}, rmap::Part::kUser);
    std::uint64_t done = 0;
    while (left_ > 0) {
        if (options_.stop && *options_.stop) {
            stopped_ = true;
            break;
        }
        const References all = trace_.next();
        if (all.empty()) break;
        const References references = selected(all);
        if (options_.straddle == Straddle::kMmu)
            translate<Straddle::kMmu>(references, core);
        else
            translate<Straddle::kCachegrind>(references, core);
        done += references.size();
        if (options_.on_progress) options_.on_progress(done);
    }
    // The trace itself ends, too, when it is to stop.
    stopped_ = stopped_ || (options_.stop && *options_.stop);
    simulated_ = core.time().local_now() - rmap::Instant{};
}

void TraceProgram::handle_interrupt(CoreModule&, const rmap::TakenInterrupt&) {
    MMUSIM_CHECK(false, "nobody interrupts a core that is alone");
}

References TraceProgram::selected(References references) {
    const auto skipped = std::min<std::uint64_t>(to_skip_, references.size());
    to_skip_ -= skipped;
    references.first += skipped;
    const auto taken = std::min<std::uint64_t>(left_, references.size());
    left_ -= taken;
    references.last = references.first + taken;
    return references;
}

template <Straddle straddle>
void TraceProgram::translate(References references, CoreModule& core) {
    const std::uint64_t page_size = std::uint64_t{1} << pages_->page_shift();
    for (const auto& reference : references) {
        const Access access = access_of<straddle>(reference.kind);
        ++references_[static_cast<std::size_t>(reference.kind)];
        if ((reference.address.value & (page_size - 1)) + reference.size <= page_size) {
            // What is granted has been touched.
            if (core.access_granted(reference.address, access, cycle_)) {
                ++quick_hits_[access];
                continue;
            }
            pages_->touch(reference.address);
            const auto before = core.time().local_now();
            require_done(
                core.access_tlb(reference.address, access, cycle_, CoreModule::Ask::kUntilHit));
            if (const Missed missed = core.missed_levels(); missed == 0) {
                ++quick_hits_[access];
            } else {
                ++by_missed_[access][missed];
                latency_.add(core.time().local_now() - before - cycle_);
            }
        } else {
            translate_straddling(reference, access, core);
        }
    }
}

TraceProgram::Missed TraceProgram::translate_page(VirtAddr address, Access access, CoreModule& core,
                                                  CoreModule::Ask ask) {
    const auto before = core.time().local_now();
    require_done(core.access(address, access, cycle_, ask));
    latency_.add(core.time().local_now() - before - cycle_);
    return core.missed_levels();
}

void TraceProgram::translate_straddling(const Reference& reference, Access access,
                                        CoreModule& core) {
    ++straddling_;
    const std::uint64_t size = std::uint64_t{1} << pages_->page_shift();
    const std::uint64_t last = reference.address.value + reference.size - 1;
    const auto for_each_page = [&](auto&& visit) {
        for (std::uint64_t at = reference.address.value;;) {
            visit(VirtAddr{at});
            if (at / size == last / size) break;
            at = (at / size + 1) * size;
        }
    };
    for_each_page([&](VirtAddr page) { pages_->touch(page); });
    if (options_.straddle == Straddle::kMmu) {
        for_each_page([&](VirtAddr page) {
            ++by_missed_[access][translate_page(page, access, core, CoreModule::Ask::kUntilHit)];
        });
        return;
    }
    bool all_hit = true;
    for_each_page([&](VirtAddr page) { all_hit = all_hit && core.would_hit(page, access); });
    const auto ask = all_hit ? CoreModule::Ask::kUntilHit : CoreModule::Ask::kAllLevels;
    Missed missed = 0;
    for_each_page([&](VirtAddr page) { missed |= translate_page(page, access, core, ask); });
    ++by_missed_[access][missed];
}

TlbCounts TraceProgram::counts_of(const models::TlbConfig& tlb) const {
    TlbCounts counts;
    counts.name = tlb.name;
    counts.level = tlb.level;
    const Missed own = Missed{1} << (tlb.level - 1);
    for (const Access access : kAllAccesses) {
        const auto stream = stream_of(access);
        if (!tlb.serves(stream)) continue;
        Missed above = 0;  // it is asked when all of them missed
        for (const auto& other : mmu_.tlbs)
            if (other.level < tlb.level && other.serves(stream))
                above |= Missed{1} << (other.level - 1);
        auto& own_counts = counts.by_access[access];
        if (above == 0) own_counts.lookups += quick_hits_[access];
        const auto& by_missed = by_missed_[access];
        for (Missed missed = 0; missed < by_missed.size(); ++missed) {
            if ((missed & above) != above) continue;
            own_counts.lookups += by_missed[missed];
            if (missed & own) own_counts.misses += by_missed[missed];
        }
    }
    return counts;
}

void TraceProgram::collect(TranslateResult& result) const {
    result.stopped = stopped_;
    result.simulated = simulated_;
    result.references = references_;
    result.straddling = straddling_;
    result.skipped_lines = trace_.skipped_lines();
    for (const auto& tlb : mmu_.tlbs) result.tlbs.push_back(counts_of(tlb));
    result.latency = latency_;
    for (const Access access : kAllAccesses) {
        const auto* first = mmu_.next(stream_of(access), 0);
        if (quick_hits_[access] > 0) result.latency.add(first->lookup, quick_hits_[access]);
    }
}

}  // namespace mmusim::platform
