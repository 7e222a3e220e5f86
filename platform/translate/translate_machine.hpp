// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/cpu/core_module.hpp"
#include "models/cpu/mmu_module.hpp"
#include "models/interrupt/interrupt_fabric_module.hpp"
#include "models/mem/memory_module.hpp"
#include "platform/config/platform_config.hpp"
#include "platform/config/run_options.hpp"
#include "platform/translate/translate_options.hpp"

namespace mmusim::platform {

/// The first core of a platform with its MMU, and the memory. Nobody else acts, so that local time
/// may run ahead as far as one likes and is still exact.
class TranslateMachine {
public:
    /// `software` and `observer` (may be null) outlive the machine.
    TranslateMachine(const PlatformConfig& config, const TranslateOptions& options,
                     models::CoreSoftware& software, models::AccessObserver* observer);

    models::MemoryModule memory;
    models::CoreModule core;
    models::MmuModule mmu;

private:
    models::InterruptFabricModule fabric_;  ///< only since a core is not complete without it
};

}  // namespace mmusim::platform
