// SPDX-License-Identifier: Apache-2.0
#include "platform/report/text_report.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "platform/oracle/hazard_table.hpp"
#include "platform/oracle/rule_table.hpp"
#include "platform/oracle/walk_equivalence.hpp"
#include "platform/report/event_text.hpp"
#include "platform/report/latency_stats.hpp"
#include "platform/report/report_writer.hpp"
#include "platform/report/text_units.hpp"
#include "rmap/mm/mm_status.hpp"
#include "rmap/mm/vm_event.hpp"

namespace mmusim::platform {
namespace {

constexpr std::size_t kMeaningWidth = 56;
constexpr std::size_t kShownViolations = 10;

class Writer : private ReportWriter {
public:
    Writer(const FinishedRun& run, Colour colour)
        : ReportWriter(colour),
          config_(run.config),
          seed_(run.seed),
          result_(run.result),
          hazards_count_(run.hazards_count) {}

    std::string write() {
        title();
        latencies();
        heading("WHERE THE TIME GOES");
        line("  Parts of an average operation. Calls contain batches, batches contain pages.");
        for (const auto& operation : result_.operations) parts(operation);
        flushes();
        secondary_mmus();
        tlbs();
        memory();
        oracle();
        hazards();
        quantum();
        verdict();
        return std::move(text_);
    }

private:
    std::string bad(const std::string& text) const {
        return styled(fg(fmt::terminal_color::red) | fmt::emphasis::bold, text);
    }
    std::string good(const std::string& text) const {
        return styled(fmt::fg(fmt::terminal_color::green), text);
    }

    void title() {
        line("{} on {}", bold(config_.scenario.name), bold(config_.platform.name));
        line("mmusim " MMUSIM_VERSION ", seed {}, {} simulated{}", seed_,
             readable(result_.simulated), result_.stopped ? ", stopped early" : "");
    }

    void latencies() {
        heading(fmt::format("{:<18}{:>9}{:>9}{:>12}{:>12}{:>12}{:>12}{:>12}", "OPERATIONS", "count",
                            "pages", "mean", "p50", "p90", "p99", "max"));
        if (result_.operations.empty()) line("  none finished");
        for (const auto& operation : result_.operations) {
            const LatencyStats stats = latency_stats(operation);
            line("  {:<16}{:>9}{:>9}{:>12}{:>12}{:>12}{:>12}{:>12}", rmap::name(operation.kind),
                 grouped(stats.count), grouped(operation.pages), readable(stats.mean),
                 readable(stats.p50), readable(stats.p90), readable(stats.p99),
                 readable(stats.max));
            if (operation.abandoned)
                line("  {:<16}{:>9} more were given up, and are not in this row", "",
                     grouped(operation.abandoned));
        }
    }

    /// Shares and times are rounded so that each column adds up to its last line.
    void parts(const OperationStats& operation) {
        const LatencyStats stats = latency_stats(operation);
        if (stats.count == 0 || stats.sum.ps == 0) return;
        std::vector<std::pair<std::uint64_t, std::size_t>> largest;
        for (std::size_t i = 0; i < rmap::kPartCount; ++i)
            if (const auto ps = operation.parts.by_part[i].ps) largest.emplace_back(ps, i);
        std::stable_sort(largest.begin(), largest.end(),
                         [](const auto& a, const auto& b) { return a.first > b.first; });
        std::vector<std::uint64_t> values;
        for (const auto& [ps, part] : largest) values.push_back(ps);

        const TimeUnit& unit = column_unit(stats.mean);
        const auto shares = apportion(values, 1000, stats.sum.ps);
        const auto times = apportion(values, 1, stats.count * unit.tick_ps);
        parts_heading(operation, stats, unit);
        std::uint64_t share_sum = 0;
        std::uint64_t time_sum = 0;
        for (std::size_t i = 0; i < largest.size(); ++i) {
            const auto& part = rmap::kPartTable[largest[i].second];
            line("  {:<19}{:>8} %{:>11}  {}", part.name, ticks_text(shares[i], 1),
                 ticks_text(times[i], unit.decimals), shortened(part.meaning, kMeaningWidth));
            share_sum += shares[i];
            time_sum += times[i];
        }
        line("  {:<19}{:>8} %{:>11}", "sum", ticks_text(share_sum, 1),
             ticks_text(time_sum, unit.decimals));
    }

    void parts_heading(const OperationStats& operation, const LatencyStats& stats,
                       const TimeUnit& unit) {
        std::string per_page;
        if (operation.pages > stats.count)
            per_page =
                fmt::format("  = {} per page of {} pages",
                            readable({stats.sum.ps / operation.pages}), grouped(operation.pages));
        heading(fmt::format("{:<21}{:>10}{:>11}", rmap::name(operation.kind), "share",
                            fmt::format("{} each", unit.name)) +
                per_page);
    }

    std::uint64_t counter(const std::string& name) const {
        const auto found = result_.counters.find(name);
        return found == result_.counters.end() ? 0 : found->second;
    }

    std::uint64_t unmapped_pages() const {
        for (const auto& operation : result_.operations)
            if (operation.kind == rmap::OperationKind::kUnmap) return operation.pages;
        return 0;
    }

    void flushes() {
        heading("FLUSHES");
        const auto row = [this](const char* what, const char* name, const char* meaning) {
            line("  {:<17}{:>12}  {}", what, grouped(counter(name)), meaning);
        };
        row("IPIs sent", "flush_ipi_sent", "interrupts that made another CPU flush");
        row("local", "flush_local", "on the CPU that needed the flush");
        row("remote", "flush_remote",
            "in interrupt handlers, and v5.0's second turn of the sender");
        row("full", "flush_full", "all translations of the address space");
        row("partial", "flush_partial", "page by page");
        const std::uint64_t pages = unmapped_pages();
        if (pages)
            line("  {:<17}{:>12.2f}", "IPIs per unmap",
                 static_cast<double>(counter("flush_ipi_sent")) / static_cast<double>(pages));
    }

    /// Only what took part.
    void secondary_mmus() {
        struct Row {
            const char* what;
            const char* counter;
            const char* meaning;
        };
        static constexpr Row kRows[] = {
            {"guest accesses", "guest_accesses", "by vCPUs, through both stages"},
            {"VM exits", "vm_exits", "interrupts, second-stage violations, halts"},
            {"faults", "kvm_faults", "second-stage violations that KVM handled"},
            {"retries", "kvm_fault_retries", "of these, that met a notifier section"},
            {"entries removed", "spte_cleared", "second-stage entries, at the start of a section"},
            {"remote flushes", "kvm_remote_tlb_flush",
             "kvm_flush_remote_tlbs that had to interrupt"},
            {"kicks", "kvm_kicks", "vCPUs that were made to leave their guest"},
            {"DMA accesses", "dma_accesses", "by devices, in address spaces of processes"},
            {"DMA refused", "dma_faults", "without a translation"},
            {"IOMMU commands", "iommu_commands", "descriptors that the IOMMU has executed"},
            {"ATC invalidations", "atc_invalidations", "device TLBs, with DMA in flight awaited"},
        };
        const auto took_part = [this](const Row& row) { return counter(row.counter) > 0; };
        if (std::none_of(std::begin(kRows), std::end(kRows), took_part)) return;
        heading("SECONDARY MMUS");
        for (const Row& row : kRows)
            if (took_part(row))
                line("  {:<17}{:>12}  {}", row.what, grouped(counter(row.counter)), row.meaning);
    }

    /// One line per kind: "core3.dtlb" counts for "dtlb".
    void tlbs() {
        std::vector<std::pair<std::string, TlbStatsRow>> levels;
        for (const auto& row : result_.tlbs) {
            const std::string name = row.name.substr(row.name.rfind('.') + 1);
            auto known = std::find_if(levels.begin(), levels.end(),
                                      [&](const auto& level) { return level.first == name; });
            if (known == levels.end()) known = levels.insert(known, {name, {}});
            auto& level = known->second;
            level.lookups += row.lookups;
            level.hits += row.hits;
            level.invalidated += row.invalidated;
        }
        heading(fmt::format("{:<18}{:>17}{:>12}{:>17}", "TLBS", "lookups", "hits", "invalidated"));
        for (const auto& [name, level] : levels)
            line("  {:<16}{:>17}{:>12}{:>17}", name, grouped(level.lookups),
                 percent_text(level.hits, level.lookups), grouped(level.invalidated));
        line("  {:<16}{:>17}    {} memory reads", "page walks", grouped(result_.walks),
             grouped(result_.walk_reads));
    }

    /// /proc/PID/status of the first processes, in its order, and what their memory groups have
    /// counted.
    void memory() {
        std::vector<std::string> lines;
        rmap::MmStatus{}.visit([&](const char* name, std::uint64_t) { lines.emplace_back(name); });
        memory_table("MEMORY, kB", lines, [](const std::string& name) { return name + "_kb"; });
        std::vector<std::string> events;
        for (const auto& event : rmap::kVmEventTable) events.emplace_back(event.name);
        memory_table("VM EVENTS of groups", events,
                     [](const std::string& name) { return "memcg_" + name; });
    }

    /// A column for each process; rows in which all of them have 0 are left out.
    template <class KeyOf>
    void memory_table(std::string_view title, const std::vector<std::string>& names,
                      KeyOf&& key_of) {
        constexpr std::size_t kShownProcesses = 7;
        std::string processes;
        std::vector<std::string> rows(names.size());
        std::size_t shown = 0;
        for (const auto& [process, values] : result_.memory) {
            if (shown++ == kShownProcesses) break;
            processes += fmt::format("{:>11}", shortened(process, 10));
            for (std::size_t row = 0; row < names.size(); ++row) {
                const auto value = values.find(key_of(names[row]));
                rows[row] +=
                    fmt::format("{:>11}", value == values.end() ? "0" : grouped(value->second));
            }
        }
        const auto all_zero = [](const std::string& row) {
            return row.find_first_not_of(" 0") == std::string::npos;
        };
        if (std::all_of(rows.begin(), rows.end(), all_zero)) return;
        heading(fmt::format("{:<20}{}", title, processes));
        for (std::size_t row = 0; row < names.size(); ++row)
            if (!all_zero(rows[row])) line("  {:<18}{}", names[row], rows[row]);
        if (result_.memory.size() > kShownProcesses)
            line("  and {} more processes", result_.memory.size() - kShownProcesses);
    }

    void oracle() {
        const auto& report = result_.oracle;
        heading("SAFETY");
        if (!report.on) {
            line("  not checked (--no-oracle)");
            return;
        }
        line("  {:<5}{:<32}{:>15} judged, {} violated", "", "uses of cached translations",
             grouped(report.checked), violated_text(wrong_uses()));
        std::size_t not_met = 0;
        for (const auto& rule : report.rules) {
            if (rule.judged == 0 && rule.violated == 0)
                ++not_met;
            else if (rule.id == kWalkEquivalence)
                line("  {:<5}{:<32}{:>15} judged, {} violated", "", "hits compared with a walk",
                     grouped(rule.judged), violated_text(rule.violated));
            else
                line("  {:<5}{:<32}{:>15} judged, {} violated", rule.id,
                     shortened(title_in(rule_table(), rule.id), 31), grouped(rule.judged),
                     violated_text(rule.violated));
        }
        if (not_met)
            line("  {:<5}{} rules more had nothing to judge (mmusim list rules)", "", not_met);
        std::size_t number = 0;
        for (const auto& violation : report.violations) {
            if (number == kShownViolations) break;
            ++number;
            show(fmt::format("{}. {}", number, violation.rule), violation);
        }
        if (report.violations_found > number)
            line("\n  ... and {} more; the first {} are in results.json",
                 grouped(report.violations_found - number), grouped(report.violations.size()));
    }

    std::string violated_text(std::uint64_t count) const {
        return count ? bad(grouped(count)) : std::string("0");
    }

    /// Violations that belong to no rule were found at a use of a translation.
    std::uint64_t wrong_uses() const {
        std::uint64_t by_rules = 0;
        for (const auto& rule : result_.oracle.rules) by_rules += rule.violated;
        return result_.oracle.violations_found -
               std::min(by_rules, result_.oracle.violations_found);
    }

    template <class Table>
    static std::string_view title_in(const Table& table, const std::string& id) {
        for (const auto& row : table)
            if (row.id == id) return row.title;
        return {};
    }

    /// A line for each that happened, and a block for each that did harm.
    void hazards() {
        const auto& hazards = result_.oracle.hazards;
        if (hazards.empty()) return;
        heading("HAZARDS");
        line("  Where the kernel itself breaks a rule (mmusim list hazards); {}.",
             hazards_count_ == HazardsCount::kAsViolations ? "counted as violations"
                                                           : "not counted as violations");
        for (const auto& hazard : hazards) {
            std::string counts = fmt::format("{:>15} times", grouped(hazard.count));
            if (hazard.total_window.ps > 0)
                counts += fmt::format(", {} in all", readable(hazard.total_window));
            if (hazard.wrong_uses > 0)
                counts += ", " + bad(grouped(hazard.wrong_uses) + " wrong uses");
            line("  {:<5}{:<32}{}, first at {}", hazard.id,
                 shortened(title_in(hazard_table(), hazard.id), 31), counts,
                 readable({hazard.first.time.ps}));
        }
        for (const auto& hazard : hazards)
            if (hazard.wrong_uses > 0)
                show(fmt::format("{}: {}", hazard.id, hazard.first_wrong_use.rule),
                     hazard.first_wrong_use);
    }

    void show(const std::string& title, const Violation& violation) {
        line("\n  {}", bad(fmt::format("{} at {}", title, text(violation.time))));
        const auto field = [this](const char* name, const std::string& value) {
            if (!value.empty()) line("     {:<13}{}", name, value);
        };
        field("agent", violation.agent);
        field("translation", violation.translation);
        if (violation.entry_age.ps > 0) field("held for", text(violation.entry_age));
        field("operation", violation.operation_name);
        field("missing", violation.missing);
        field("window", text(violation.window));
    }

    void quantum() {
        const auto& q = result_.quantum;
        heading("TIME");
        if (!q.requested && q.late_effects == 0) {
            line("  quantum: automatic, {}: exact", text(q.automatic));
            return;
        }
        const std::string which = text(q.requested.value_or(q.automatic));
        if (q.late_effects == 0)
            line("  quantum: {} (automatic: {}), 0 late effects: exact", which, text(q.automatic));
        else
            line("  quantum: {} (automatic: {}), {} late, worst {}, bound {};\n  {}", which,
                 text(q.automatic), grouped(q.late_effects), text(q.worst_lateness), text(q.bound),
                 bad("results approximate, oracle verdicts not valid"));
    }

    void verdict() {
        const auto& report = result_.oracle;
        if (!report.on) return;
        if (result_.quantum.late_effects)
            line("\n{}", bad("no verdict: the run was not exact"));
        else if (report.violations_found)
            line("\n{}", bad(fmt::format("UNSAFE: {} violation{}", grouped(report.violations_found),
                                         report.violations_found == 1 ? "" : "s")));
        else
            line("\n{}", hazard_verdict());
    }

    std::string hazard_verdict() const {
        const auto& hazards = result_.oracle.hazards;
        std::vector<std::string_view> ids;
        bool harmless = true;
        for (const auto& hazard : hazards) {
            ids.push_back(hazard.id);
            harmless = harmless && hazard.wrong_uses == 0;
        }
        if (ids.empty()) return good("safe: no violation");
        const std::string which = fmt::format("of the kernel itself: {}", fmt::join(ids, ", "));
        if (hazards_count_ == HazardsCount::kAsViolations)
            return bad(fmt::format("UNSAFE: no violation, but hazards {}", which));
        if (harmless) return good(fmt::format("safe: no violation; hazards {}", which));
        return bold(fmt::format("no violation, but wrong uses by hazards {}", which));
    }

    const LoadedConfig& config_;
    const std::uint64_t seed_;
    const RunResult& result_;
    const HazardsCount hazards_count_;
};

}  // namespace

std::string text_report(const FinishedRun& run, Colour colour) {
    return Writer(run, colour).write();
}

}  // namespace mmusim::platform
