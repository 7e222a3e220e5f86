// SPDX-License-Identifier: Apache-2.0
#include "platform/config/config_node.hpp"

#include <algorithm>
#include <utility>

namespace mmusim::platform {

const ConfigNode::Member* ConfigNode::find(std::string_view key) const {
    const Table* members = table();
    if (!members) return nullptr;
    const auto found = std::find_if(members->begin(), members->end(),
                                    [key](const Member& member) { return member.key == key; });
    return found == members->end() ? nullptr : &*found;
}

ConfigNode::Member* ConfigNode::find(std::string_view key) {
    return const_cast<Member*>(std::as_const(*this).find(key));
}

std::string_view describe_type(const ConfigNode& node) {
    static constexpr std::string_view kNames[] = {"true or false", "a whole number", "a number",
                                                  "a string",      "an array",       "a table"};
    return kNames[node.value.index()];
}

void merge(ConfigNode& base, ConfigNode over) {
    const bool is_quantity = over.find("ns") || over.find("cycles");
    if (!base.table() || !over.table() || is_quantity) {
        base = std::move(over);
        return;
    }
    for (auto& member : *over.table()) {
        if (auto* existing = base.find(member.key)) {
            existing->position = std::move(member.position);
            merge(existing->node, std::move(member.node));
        } else {
            base.table()->push_back(std::move(member));
        }
    }
}

}  // namespace mmusim::platform
