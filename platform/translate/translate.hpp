// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/config/platform_config.hpp"
#include "platform/trace/trace_reader.hpp"
#include "platform/translate/translate_options.hpp"
#include "platform/translate/translate_result.hpp"

namespace mmusim::platform {

/// Translates every reference of the trace on one core of the platform, whose MMU and memory are
/// all of it that is built. Once per process: SystemC elaborates once. Throws UserError for what is
/// wrong with the trace, and when the machine has no pages of the order that is asked for.
TranslateResult translate_trace(const PlatformConfig& config, TraceReader& trace,
                                const TranslateOptions& options);

}  // namespace mmusim::platform
