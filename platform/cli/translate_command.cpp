// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "platform/cli/command.hpp"
#include "platform/cli/config_files.hpp"
#include "platform/cli/interrupt_flag.hpp"
#include "platform/cli/options.hpp"
#include "platform/cli/output_file.hpp"
#include "platform/cli/progress_bar.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/load_config.hpp"
#include "platform/config/nearest_name.hpp"
#include "platform/report/text_units.hpp"
#include "platform/report/translate_report.hpp"
#include "platform/trace/byte_source.hpp"

namespace mmusim::platform {
namespace {

namespace fs = std::filesystem;

constexpr char kResultFile[] = "translate.json";

/// The command line, understood.
struct TranslateRequest {
    ConfigRequest config;
    TranslateOptions options;
    std::string trace;
    std::string out_folder;
    OutputFormat format = OutputFormat::kText;
    bool quiet = false;
};

Syntax syntax() {
    Syntax syntax;
    syntax.usage = "mmusim translate PLATFORM --trace FILE [OPTIONS]";
    syntax.summary =
        "Sends the memory references of a program through the MMU of one core of PLATFORM, a name\n"
        "from 'mmusim list' or a TOML file, and reports TLB misses, page walks and latencies. The\n"
        "trace is what valgrind's lackey prints, or a binary one of 'mmusim convert', plain or "
        "gzip.\n"
        "A page is mapped when it is first touched.";
    syntax.positionals = {"PLATFORM"};
    syntax.required = 1;
    syntax.examples =
        "  valgrind --tool=lackey --trace-mem=yes ls 2>&1 | mmusim translate skylake-sp-2s --trace "
        "-\n"
        "  mmusim translate skylake-sp-2s --trace ls.mmt.gz --page-size 2M\n"
        "  mmusim translate milan-1s --trace ls.mmt --set tlb.dtlb.array.all.entries=128 --format "
        "json\n"
        "  mmusim translate my-caches.toml --trace ls.mmt --straddle cachegrind\n";
    syntax.value("trace", "FILE", "the trace; - is standard input");
    syntax.values("set", "KEY=VALUE", "change one key of the platform; may be repeated");
    syntax.value("page-size", "SIZE",
                 "of all pages, such as 2M; the smallest that the page tables have unless given");
    syntax.value("straddle", "mmu|cachegrind", "mmu",
                 "references of several pages: mmu translates each page; cachegrind counts one "
                 "lookup and at most one miss, and M as a load, as valgrind's cachegrind does");
    syntax.value("skip", "N", "0", "leave out the first references");
    syntax.value("limit", "N", "stop after so many references");
    syntax.value("out", "DIR", fmt::format("write {} into this folder", kResultFile).c_str());
    syntax.value("compare-walks", "N", "64",
                 "compare every N-th use of a translation with a walk through no cache; 0: none");
    syntax.value("dmi", "on|off", "on",
                 "whether the core uses what its first TLBs have granted it without asking again; "
                 "the results are the same");
    syntax.flag("no-oracle", "do not check that every use of a translation is safe");
    syntax.value("format", "text|json", "text",
                 fmt::format("what is printed; json is the content of {}", kResultFile).c_str());
    syntax.flag("quiet", "print nothing but errors");
    return syntax;
}

Straddle parse_straddle(const std::string& text) {
    if (text == "mmu") return Straddle::kMmu;
    if (text == "cachegrind") return Straddle::kCachegrind;
    throw UserError(
        fmt::format("--straddle is '{}'; {}", text, nearest_hint(text, {"mmu", "cachegrind"})));
}

/// An order: 4 KiB << order.
unsigned parse_page_size(const std::string& text) {
    constexpr unsigned kLargest = 27;  // 512 GiB
    for (unsigned order = 0; order <= kLargest; ++order)
        if (text == page_size_text(order)) return order;
    throw UserError(
        fmt::format("--page-size is '{}'; expected a size such as 4K, 64K, 2M or 1G", text));
}

TranslateRequest understand(const ParsedOptions& given) {
    constexpr std::uint64_t kMost = ~std::uint64_t{0};
    TranslateRequest request;
    request.config.platform_file = find_config(ConfigKind::kPlatform, given.text("PLATFORM"));
    request.config.settings = given.texts("set");
    request.config.mechanisms = mechanism_names();
    if (!given.has("trace")) throw UserError("--trace is missing; it names a file, or - for stdin");
    request.trace = given.text("trace");
    request.out_folder = given.text("out");
    request.format = parse_format(given.text("format"));
    request.quiet = given.flag("quiet");
    auto& options = request.options;
    options.straddle = parse_straddle(given.text("straddle"));
    if (given.has("page-size")) options.page_order = parse_page_size(given.text("page-size"));
    options.skip = parse_whole_number("skip", given.text("skip"), 0, kMost);
    if (given.has("limit"))
        options.limit = parse_whole_number("limit", given.text("limit"), 1, kMost);
    options.compare_walks = parse_compare_walks(given.text("compare-walks"));
    options.dmi = parse_switch("dmi", given.text("dmi")) ? Dmi::kOn : Dmi::kOff;
    options.oracle = given.flag("no-oracle") ? OracleMode::kOff : OracleMode::kOn;
    return request;
}

void report(const TranslateRequest& request, const FinishedTranslation& done, Session& session) {
    const std::string json = translate_json(done).dump(2) + '\n';
    const std::string text =
        request.format == OutputFormat::kJson ? json : translate_text(done, session.colour);
    if (!request.out_folder.empty())
        write_complete_file((fs::path(request.out_folder) / kResultFile).string(), json);
    if (!request.quiet) session.out << text << std::flush;
}

/// How fast it was, which is no result.
void report_speed(std::uint64_t references, double seconds, Session& session) {
    session.err << fmt::format("{} references in {:.2f} s, {:.1f} million per s\n",
                               grouped(references), seconds,
                               static_cast<double>(references) / seconds / 1e6);
}

}  // namespace

ExitCode translate_command(const Arguments& arguments, Session& session) {
    using Clock = std::chrono::steady_clock;
    const auto given = parse_options(syntax(), arguments, session.out);
    if (!given) return ExitCode::kFine;
    TranslateRequest request = understand(*given);
    const LoadedConfig config = load_config(request.config);
    if (!request.out_folder.empty()) {
        make_folder(request.out_folder);
        require_writable((fs::path(request.out_folder) / kResultFile).string());
    }

    const InterruptFlag interrupted;
    const auto trace = open_trace(request.trace, &interrupted.value());
    TranslateResult result;
    const auto begin = Clock::now();
    {
        ProgressBar bar(session.err, request.quiet ? Progress::kOff : session.progress,
                        "references");
        request.options.stop = &interrupted.value();
        request.options.on_progress = [&bar](std::uint64_t done) { bar.show(done); };
        result = session.translate(config.platform, *trace, request.options);
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const std::string name = request.trace == kStandardInput
                                 ? "standard input"
                                 : fs::path(request.trace).filename().string();
    report(request, {config, name, trace->format(), request.options, result}, session);
    if (!request.quiet) report_speed(result.all_references(), seconds, session);
    if (result.oracle.violations_found > 0) return ExitCode::kViolation;
    return result.stopped ? ExitCode::kInterrupted : ExitCode::kFine;
}

}  // namespace mmusim::platform
