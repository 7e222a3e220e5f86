// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "platform/config/config_show.hpp"
#include "platform/report/results_json.hpp"
#include "platform/report/text_units.hpp"
#include "platform/report/translate_report.hpp"

namespace mmusim::platform {
namespace {

using Json = nlohmann::ordered_json;

Json ns(rmap::Duration time) { return static_cast<double>(time.ps) / 1000; }

/// None of nothing is no number.
Json ratio(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? Json(nullptr)
                      : Json(static_cast<double>(part) / static_cast<double>(whole));
}

Json per_thousand_instructions(std::uint64_t count, const TranslateResult& result) {
    return ratio(1000 * count, result.instructions());
}

Json trace_json(const FinishedTranslation& done) {
    return {{"file", done.trace},
            {"format", name(done.format)},
            {"skipped_lines", done.result.skipped_lines},
            {"skipped_references", done.options.skip}};
}

Json references_json(const TranslateResult& result) {
    const auto of = [&](ReferenceKind kind) {
        return result.references[static_cast<std::size_t>(kind)];
    };
    return {{"all", result.all_references()},       {"fetch", of(ReferenceKind::kFetch)},
            {"load", of(ReferenceKind::kLoad)},     {"store", of(ReferenceKind::kStore)},
            {"modify", of(ReferenceKind::kModify)}, {"straddling", result.straddling}};
}

Json counts_json(const TlbCounts::Counts& counts) {
    return {{"lookups", counts.lookups}, {"hits", counts.hits()}, {"misses", counts.misses}};
}

Json tlb_json(const TlbCounts& tlb, const TranslateResult& result) {
    Json json = {{"name", tlb.name}, {"level", tlb.level}};
    json.update(counts_json(tlb.total()));
    for (const auto access : kAllAccesses)
        json[std::string(name(access))] = counts_json(tlb.by_access[access]);
    json["mpki"] = per_thousand_instructions(tlb.total().misses, result);
    return json;
}

Json walks_json(const TranslateResult& result) {
    const auto& walks = result.walks;
    Json by_reads = Json::array();
    for (std::size_t reads = 0; reads < walks.walks_by_reads.size(); ++reads)
        if (const auto count = walks.walks_by_reads[reads]; count > 0)
            by_reads.push_back({{"reads", reads}, {"count", count}});
    Json caches = Json::array();
    for (const auto& cache : result.walk_caches)
        caches.push_back({{"name", cache.name}, {"level", cache.level}, {"hits", cache.hits}});
    return {{"count", walks.walks},
            {"reads", walks.reads},
            {"reads_per_walk", ratio(walks.reads, walks.walks)},
            {"per_1000_instructions", per_thousand_instructions(walks.walks, result)},
            {"by_reads", by_reads},
            {"caches", caches}};
}

Json latency_json(const LatencyHistogram& latency) {
    const LatencyStats stats = latency.stats();
    Json buckets = Json::array();
    for (const auto& [ps, count] : latency.counts())
        buckets.push_back({{"ns", ns({ps})}, {"count", count}});
    return {{"count", stats.count}, {"sum", ns(stats.sum)}, {"mean", ns(stats.mean)},
            {"p50", ns(stats.p50)}, {"p90", ns(stats.p90)}, {"p99", ns(stats.p99)},
            {"max", ns(stats.max)}, {"buckets", buckets}};
}

}  // namespace

Json translate_json(const FinishedTranslation& done) {
    const TranslateResult& result = done.result;
    Json json;
    json["mmusim"] = MMUSIM_VERSION;
    json["platform"] = done.config.platform.name;
    json["trace"] = trace_json(done);
    json["straddle"] = done.options.straddle == Straddle::kMmu ? "mmu" : "cachegrind";
    json["simulated_ns"] = ns(result.simulated);
    if (result.stopped) json["stopped"] = true;
    json["config"] = config_json(done.config.effective);
    json["references"] = references_json(result);
    json["instructions"] = result.instructions();
    json["pages"] = {{"size", page_size_text(result.page_order)},
                     {"touched", result.pages},
                     {"tables", result.table_pages}};
    json["tlbs"] = Json::array();
    for (const auto& tlb : result.tlbs) json["tlbs"].push_back(tlb_json(tlb, result));
    json["walks"] = walks_json(result);
    json["latency_ns"] = latency_json(result.latency);
    json["oracle"] = oracle_json(result.oracle);
    return json;
}

}  // namespace mmusim::platform
