// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <utility>

#include "platform/report/report_writer.hpp"
#include "platform/report/text_units.hpp"
#include "platform/report/translate_report.hpp"

namespace mmusim::platform {
namespace {

constexpr std::size_t kBarWidth = 30;

/// "1.234", of `scale` times part / whole; "-" when the whole is 0.
std::string ratio_text(std::uint64_t part, std::uint64_t whole, double scale) {
    if (whole == 0) return "-";
    return fmt::format("{:.3f}", scale * static_cast<double>(part) / static_cast<double>(whole));
}

std::string share_text(std::uint64_t part, std::uint64_t whole) {
    const std::string ratio = ratio_text(part, whole, 100);
    return whole == 0 ? ratio : ratio + " %";
}

class Writer : private ReportWriter {
public:
    Writer(const FinishedTranslation& done, Colour colour)
        : ReportWriter(colour), done_(done), result_(done.result) {}

    std::string write() {
        title();
        references();
        tlbs();
        walks();
        latency();
        oracle();
        return std::move(text_);
    }

private:
    std::string per_thousand(std::uint64_t count) const {
        return ratio_text(count, result_.instructions(), 1000);
    }

    void title() {
        line("{} on {}", bold(done_.trace), bold(done_.config.platform.name));
        line("mmusim " MMUSIM_VERSION ", {} simulated{}{}", readable(result_.simulated),
             done_.options.straddle == Straddle::kCachegrind ? ", counted as cachegrind does" : "",
             result_.stopped ? ", stopped early" : "");
    }

    void references() {
        static constexpr std::array<std::string_view, kReferenceKinds> kNames = {
            "instructions", "loads", "stores", "modifications"};
        const std::uint64_t all = result_.all_references();
        heading(fmt::format("{:<16}{:>18}{:>12}", "REFERENCES", "count", "share"));
        for (std::size_t kind = 0; kind < kReferenceKinds; ++kind)
            line("  {:<14}{:>18}{:>12}", kNames[kind], grouped(result_.references[kind]),
                 percent_text(result_.references[kind], all));
        line("  {:<14}{:>18}{:>12}  of several pages", "straddling", grouped(result_.straddling),
             percent_text(result_.straddling, all));
        line("  {:<14}{:>18}    of {}, and {} of page tables", "pages touched",
             grouped(result_.pages), page_size_text(result_.page_order),
             grouped(result_.table_pages));
        if (result_.skipped_lines > 0)
            line("  {:<14}{:>18}    of the trace are no references", "lines",
                 grouped(result_.skipped_lines));
    }

    void tlbs() {
        heading(fmt::format("{:<16}{:<7}{:>17}{:>17}{:>13}{:>18}", "TLBS", "", "lookups", "misses",
                            "miss rate", "misses per 1000"));
        line("{:>88}", "instructions");
        for (const auto& tlb : result_.tlbs) {
            std::string label = fmt::format("{}, level {}", tlb.name, tlb.level);
            unsigned rows = 0;
            for (const auto access : kAllAccesses) {
                const auto& counts = tlb.by_access[access];
                if (counts.lookups == 0) continue;
                tlb_row(std::exchange(label, ""), name(access), counts);
                ++rows;
            }
            if (rows != 1) tlb_row(label, "all", tlb.total());
        }
    }
    void tlb_row(const std::string& label, std::string_view what, const TlbCounts::Counts& counts) {
        line("  {:<14}{:<7}{:>17}{:>17}{:>13}{:>18}", label, what, grouped(counts.lookups),
             grouped(counts.misses), share_text(counts.misses, counts.lookups),
             per_thousand(counts.misses));
    }

    void walks() {
        heading("PAGE WALKS");
        const auto& stats = result_.walks;
        line("  {:<14}{:>18}    {} per 1000 instructions", "walks", grouped(stats.walks),
             per_thousand(stats.walks));
        line("  {:<14}{:>18}    {} per walk", "memory reads", grouped(stats.reads),
             ratio_text(stats.reads, stats.walks, 1));
        for (std::size_t reads = 0; reads < stats.walks_by_reads.size(); ++reads)
            if (const auto count = stats.walks_by_reads[reads]; count > 0)
                line("  {:<14}{:>18}{:>12}", fmt::format("with {} reads", reads), grouped(count),
                     percent_text(count, stats.walks));
        for (const auto& cache : result_.walk_caches)
            line("  {:<14}{:>18}{:>12}  walks began in this cache", cache.name, grouped(cache.hits),
                 percent_text(cache.hits, stats.walks));
    }

    void latency() {
        const LatencyStats stats = result_.latency.stats();
        heading(fmt::format("{:<16}{:>18}{:>14}{:>12}{:>12}{:>12}{:>12}", "LATENCY", "count",
                            "mean", "p50", "p90", "p99", "max"));
        line("  {:<14}{:>18}{:>14}{:>12}{:>12}{:>12}{:>12}", "translations", grouped(stats.count),
             readable(stats.mean), readable(stats.p50), readable(stats.p90), readable(stats.p99),
             readable(stats.max));
        if (stats.count == 0) return;
        // By powers of two, beginning with a nanosecond; empty ones in between are shown.
        std::map<std::uint64_t, std::uint64_t> buckets;
        for (const auto& [ps, count] : result_.latency.counts()) buckets[bucket_of(ps)] += count;
        std::uint64_t below = buckets.begin()->first == 1 ? 0 : buckets.begin()->first / 2;
        for (std::uint64_t end = buckets.begin()->first; end <= buckets.rbegin()->first; end *= 2) {
            const auto found = buckets.find(end);
            const std::uint64_t count = found == buckets.end() ? 0 : found->second;
            line("  {:>14}{:>18}{:>14}  {}", fmt::format("{} - {} ns", below, end), grouped(count),
                 share_text(count, stats.count),
                 std::string((count * kBarWidth + stats.count - 1) / stats.count, '#'));
            below = end;
        }
    }
    /// Its end in ns, which is not in it.
    static std::uint64_t bucket_of(std::uint64_t ps) {
        std::uint64_t end = 1;
        while (1000 * end <= ps) end *= 2;
        return end;
    }

    void oracle() {
        if (!result_.oracle.on) return;
        line("\n{} uses of cached translations judged, {} violated",
             grouped(result_.oracle.checked), grouped(result_.oracle.violations_found));
    }

    const FinishedTranslation& done_;
    const TranslateResult& result_;
};

}  // namespace

std::string translate_text(const FinishedTranslation& done, Colour colour) {
    return Writer(done, colour).write();
}

}  // namespace mmusim::platform
