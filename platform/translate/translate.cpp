// SPDX-License-Identifier: Apache-2.0
#include "platform/translate/translate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "platform/build/simulation.hpp"
#include "platform/config/config_error.hpp"
#include "platform/oracle/oracle.hpp"
#include "platform/report/text_units.hpp"
#include "platform/translate/trace_program.hpp"
#include "platform/translate/translate_machine.hpp"

namespace mmusim::platform {
namespace {

constexpr std::uint64_t kPsPerMs = 1'000'000'000;

/// The order of the pages that are asked for, or of the smallest ones.
unsigned page_order(const rmap::PageTableFormat& format, const TranslateOptions& options) {
    const auto orders = format.page_orders();
    if (!options.page_order) return orders.front();
    if (std::find(orders.begin(), orders.end(), *options.page_order) != orders.end())
        return *options.page_order;
    std::string sizes;
    for (const unsigned order : orders)
        sizes += (sizes.empty() ? "" : ", ") + page_size_text(order);
    throw UserError(fmt::format("there are no pages of {}; {} has {}",
                                page_size_text(*options.page_order), format.name, sizes));
}

std::unique_ptr<SafetyOracle> make_oracle(OracleMode mode) {
    if (mode == OracleMode::kOff) return nullptr;
    AgentNames names;
    names.actor = [](rmap::ActorId) { return std::string("core0"); };
    names.translation = [](rmap::ActorId, rmap::Access) { return std::string("core0.mmu"); };
    return std::make_unique<SafetyOracle>(Vocabulary::kSimulation, names);
}

void simulate(const TranslateMachine& machine) {
    run_simulation();
    if (const auto failure = machine.core.failure()) std::rethrow_exception(failure);
}

}  // namespace

TranslateResult translate_trace(const PlatformConfig& config, TraceReader& trace,
                                const TranslateOptions& options) {
    const auto& format = *config.mmu.walker.first.format;
    const auto oracle = make_oracle(options.oracle);
    const rmap::Duration cycle{kPsPerMs / config.clock_khz};
    TraceProgram program(trace, config.mmu, cycle, options);
    TranslateMachine machine(config, options, program, oracle.get());
    FirstTouch pages(format, page_order(format, options), config.topology,
                     machine.memory.backdoor());
    program.use(pages);

    simulate(machine);
    machine.core.settle(rmap::kNever);

    TranslateResult result;
    program.collect(result);
    result.page_order = page_order(format, options);
    result.pages = pages.pages();
    result.table_pages = pages.table_pages();
    result.walks = machine.mmu.walker.stats();
    for (const auto& cache : config.mmu.walker.first.caches)
        result.walk_caches.push_back(
            {cache.name, cache.level, result.walks.first.cache_hits[cache.level]});
    if (oracle) result.oracle = oracle->finish();
    result.oracle.on = oracle != nullptr;
    return result;
}

}  // namespace mmusim::platform
