// SPDX-License-Identifier: Apache-2.0
#include "models/flush/flush_mechanism.hpp"
#include "models/flush/ipi.hpp"

namespace mmusim::models {

const std::vector<FlushMechanismRow>& flush_mechanisms() {
    static const std::vector<FlushMechanismRow> kRows = {
        {"ipi", "x86: INVLPG and CR3 writes on each core, reached by inter-processor interrupts",
         &create_ipi_mechanism},
    };
    return kRows;
}

const FlushMechanismRow* find_flush_mechanism(std::string_view name) {
    for (const auto& row : flush_mechanisms())
        if (row.name == name) return &row;
    return nullptr;
}

}  // namespace mmusim::models
