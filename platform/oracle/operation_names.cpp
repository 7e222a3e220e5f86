// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/operation_names.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "platform/report/event_text.hpp"

namespace mmusim::platform {

using rmap::OperationId;
using rmap::OperationKind;

void OperationNames::on_record(const rmap::EventRecord& record) {
    if (record.event == rmap::Event::kOperationBegin)
        begin(record.actor, record.operation, record.arguments[0]);
    else if (record.event == rmap::Event::kOperationEnd)
        end(record.actor, record.operation, record.arguments[0]);
}

void OperationNames::begin(rmap::ActorId actor, OperationId id, std::uint64_t kind) {
    if (kind >= rmap::kOperationKinds) return;
    std::vector<OperationId>& open = open_[actor];
    // A page operation stays open while the rest of its batch goes on, yet nothing nests in it.
    const auto parent = std::find_if(open.rbegin(), open.rend(), [&](OperationId candidate) {
        return operations_[candidate].kind != OperationKind::kUnmap;
    });
    operations_[id] = {static_cast<OperationKind>(kind), parent == open.rend() ? 0 : *parent};
    open.push_back(id);
}

/// The mark of a page operation that outlived its turn names the batch around it, so page
/// operations may also end with whatever they lie in.
void OperationNames::end(rmap::ActorId actor, OperationId id, std::uint64_t kind) {
    std::vector<OperationId>& open = open_[actor];
    const auto it = std::find(open.begin(), open.end(), id);
    if (it == open.end() || operations_[id].kind != static_cast<OperationKind>(kind)) return;
    const auto last = operations_[id].kind == OperationKind::kUnmap ? std::next(it) : open.end();
    ended_.insert(ended_.end(), it, last);
    open.erase(it, last);
    for (; ended_.size() > kEndedKept; ended_.pop_front()) operations_.erase(ended_.front());
}

std::string OperationNames::own_name(OperationId id) const {
    const auto it = operations_.find(id);
    const std::string_view kind =
        it == operations_.end() ? "operation" : rmap::name(it->second.kind);
    return fmt::format("{} {}", kind, operation_text(id));
}

std::string OperationNames::name(OperationId operation) const {
    if (operation == 0) return "no operation";
    const auto it = operations_.find(operation);
    std::string result = own_name(operation);
    if (it != operations_.end() && it->second.parent != 0)
        result += " in " + own_name(it->second.parent);
    return result;
}

}  // namespace mmusim::platform
