// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {

/// Where a number comes from: "published: Hansen 2017".
struct Provenance {
    std::string text;
    Position position;
};

/// One value of a configuration, or a table or array of them, and where it was written.
struct ConfigNode {
    struct Member;
    using Array = std::vector<ConfigNode>;
    using Table = std::vector<Member>;  ///< in the order of the file
    using Value = std::variant<bool, std::int64_t, double, std::string, Array, Table>;

    Value value;
    Position position;
    /// What `from` says in the same section of the same file; none for tables.
    std::optional<Provenance> provenance;

    const Table* table() const { return std::get_if<Table>(&value); }
    Table* table() { return std::get_if<Table>(&value); }

    /// The member of a table; null when this is none or has no such key.
    const Member* find(std::string_view key) const;
    Member* find(std::string_view key);
};

struct ConfigNode::Member {
    std::string key;
    Position position;  ///< of the key
    ConfigNode node;
};

/// "a string", "a whole number" ...
std::string_view describe_type(const ConfigNode& node);

/// Lays `over` on `base`: tables are merged key by key, everything else is replaced. A table with
/// a unit (`ns`, `cycles`) is one quantity and is replaced as a whole.
void merge(ConfigNode& base, ConfigNode over);

}  // namespace mmusim::platform
