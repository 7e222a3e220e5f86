// SPDX-License-Identifier: Apache-2.0
// What translating a trace costs this computer, by where the translations are found. By hand, not
// by ctest:
//
//   cmake --build --preset release --target mmusim_translate_bench
//   build/release/tests/mmusim_translate_bench hit walk        # no argument: names and meanings
//
// Prints lines of NAME VALUE UNIT, as mmusim_bench does: rates per second of CPU time, the fastest
// of kRepeats, of references that come from memory. To compare only as ratios within one run.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <systemc>
#include <vector>

#include "platform/cli/config_files.hpp"
#include "platform/config/load_config.hpp"
#include "platform/translate/translate.hpp"
#include "tests/support/child_run.hpp"

namespace mmusim::test {
namespace {

using platform::Dmi;
using platform::OracleMode;
using platform::Reference;
using platform::ReferenceKind;

constexpr unsigned kRepeats = 3;
constexpr char kPlatform[] = "skylake-sp-2s";
constexpr std::uint64_t kBase = 0x7f0000000000;
constexpr std::size_t kBlock = 4096;  ///< references, as many as the binary format hands out

struct Experiment {
    std::string_view name;
    std::string_view meaning;
    std::uint64_t pages;     ///< that are loaded from in turn, in an order without rhythm
    std::uint64_t per_page;  ///< loads before the next one
    std::uint64_t references;
};

constexpr Experiment kExperiments[] = {
    {"hit", "64 loads from a page, then the next of 16: hits of the first level", 16, 64,
     20'000'000},
    {"l2-hit", "each load from another of 1,024 pages: hits of the second level", 1024, 1,
     10'000'000},
    {"walk", "each load from another of 65,536 pages: walks", 65'536, 1, 4'000'000},
};

/// References made while they are read.
class MadeTrace final : public platform::TraceReader {
public:
    explicit MadeTrace(const Experiment& experiment) : experiment_(experiment), block_(kBlock) {}

    platform::References next() override {
        const auto count = std::min<std::uint64_t>(kBlock, experiment_.references - done_);
        for (std::uint64_t n = 0; n < count; ++n, ++done_) {
            const std::uint64_t visit = done_ / experiment_.per_page;
            const std::uint64_t page = visit * kStride % experiment_.pages;
            block_[n] = {{kBase + page * rmap::kPageSize}, 8, ReferenceKind::kLoad};
        }
        return {block_.data(), block_.data() + count};
    }
    platform::TraceFormat format() const override { return platform::TraceFormat::kBinary; }

private:
    static constexpr std::uint64_t kStride = 40'503;  ///< odd: comes past all pages

    const Experiment& experiment_;
    std::vector<Reference> block_;
    std::uint64_t done_ = 0;
};

/// How it is translated, and the best rate so far.
struct Way {
    std::string_view name;
    OracleMode oracle;
    Dmi dmi;
    double best = 0;  ///< references per second
};

/// References per second of one run, in a process of its own.
double rate(const Experiment& experiment, const platform::PlatformConfig& config, const Way& way) {
    const std::string text = run_in_child([&] {
        MadeTrace trace(experiment);
        platform::TranslateOptions options;
        options.oracle = way.oracle;
        options.dmi = way.dmi;
        const auto begin = std::clock();
        const auto result = platform::translate_trace(config, trace, options);
        const auto seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
        return fmt::format("{}", static_cast<double>(result.all_references()) / seconds);
    });
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (*end != '\0') throw std::runtime_error(fmt::format("{}: {}", experiment.name, text));
    return value;
}

void measure(const Experiment& experiment, const platform::PlatformConfig& config) {
    Way ways[] = {{"sockets.oracle", OracleMode::kOn, Dmi::kOff},
                  {"sockets.no-oracle", OracleMode::kOff, Dmi::kOff},
                  {"filter.oracle", OracleMode::kOn, Dmi::kOn},
                  {"filter.no-oracle", OracleMode::kOff, Dmi::kOn}};
    for (unsigned n = 0; n < kRepeats; ++n)
        for (auto& way : ways) way.best = std::max(way.best, rate(experiment, config, way));
    for (const auto& way : ways)
        std::cout << fmt::format("translate-{}.{}.rate {:.0f} references/s\n", experiment.name,
                                 way.name, way.best);
    std::cout << std::flush;
}

const Experiment* find(std::string_view name) {
    for (const auto& experiment : kExperiments)
        if (experiment.name == name) return &experiment;
    return nullptr;
}

int usage() {
    std::cerr << "usage: mmusim_translate_bench EXPERIMENT...\n";
    for (const auto& experiment : kExperiments)
        std::cerr << fmt::format("  {:<8} {}\n", experiment.name, experiment.meaning);
    return 2;
}

}  // namespace
}  // namespace mmusim::test

int sc_main(int argc, char* argv[]) {
    using namespace mmusim;
    const std::vector<std::string_view> names(argv + 1, argv + argc);
    const auto known = [](std::string_view name) { return test::find(name) != nullptr; };
    if (names.empty() || !std::all_of(names.begin(), names.end(), known)) return test::usage();
    try {
        platform::ConfigRequest request;
        request.platform_file =
            platform::find_config(platform::ConfigKind::kPlatform, test::kPlatform);
        request.mechanisms = platform::mechanism_names();
        const auto config = platform::load_config(request).platform;
        for (const auto name : names) test::measure(*test::find(name), config);
    } catch (const std::exception& error) {
        std::cerr << "mmusim_translate_bench: " << error.what() << '\n';
        return 1;
    }
    return 0;
}

/// SystemC's own main would print a banner first.
int main(int argc, char* argv[]) {
    ::setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "DISABLE", 1);
    return sc_core::sc_elab_and_sim(argc, argv);
}
