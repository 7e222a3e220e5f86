// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/config/config_node.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// One key with the value that counts, and who said so.
struct ConfigLeaf {
    std::string section;  ///< "tlb.stlb"
    std::string key;
    ConfigNode value;        ///< as written; of a quantity, the number
    std::string unit;        ///< "ns" or "cycles" for a quantity, else empty
    rmap::Duration time{};   ///< of a quantity
    Position origin;         ///< no file: the default, nobody wrote it
    std::string provenance;  ///< "published: ..."; empty where none is asked for
};

/// Everything that a run was configured with, in the order of the schema.
struct EffectiveConfig {
    std::vector<ConfigLeaf> leaves;

    /// Where the value was written. Throws InvariantError for a key that the schema does not have.
    const Position& origin(std::string_view section, std::string_view key) const;
};

/// "platforms/skylake-sp-2s.toml:12", "--set" or "default": the same on every machine, whatever the
/// folder.
std::string short_origin(const Position& origin);

}  // namespace mmusim::platform
