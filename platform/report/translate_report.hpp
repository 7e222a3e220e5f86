// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "platform/config/load_config.hpp"
#include "platform/report/text_report.hpp"
#include "platform/trace/trace_reader.hpp"
#include "platform/translate/translate_options.hpp"
#include "platform/translate/translate_result.hpp"

namespace mmusim::platform {

/// A translated trace as the reports need it.
struct FinishedTranslation {
    const LoadedConfig& config;
    std::string trace;  ///< its name, without folders
    TraceFormat format;
    const TranslateOptions& options;
    const TranslateResult& result;
};

/// What `mmusim translate --format json` prints: names and order are stable, nothing depends on the
/// host. Times in ns with up to three decimals.
nlohmann::ordered_json translate_json(const FinishedTranslation& done);

/// What `mmusim translate` prints: references, TLBs, walks, the latency of translations.
std::string translate_text(const FinishedTranslation& done, Colour colour);

}  // namespace mmusim::platform
