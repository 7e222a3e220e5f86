// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/observe/settled_stream.hpp"
#include "rmap/account/accountant.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// What the operations of a run are called, from their begin and end marks. The record of a begin
/// carries the id of the operation that begins. Remembers the open ones and the last kEndedKept
/// that ended.
class OperationNames final : public models::EventSink {
public:
    static constexpr std::size_t kEndedKept = 65536;

    void on_record(const rmap::EventRecord& record) override;

    /// "unmap 0.17 in shrink_page_list 0.3"; "operation 0.17" when its begin is not known.
    std::string name(rmap::OperationId operation) const;

private:
    struct Operation {
        rmap::OperationKind kind{};
        rmap::OperationId parent = 0;
    };

    void begin(rmap::ActorId actor, rmap::OperationId id, std::uint64_t kind);
    void end(rmap::ActorId actor, rmap::OperationId id, std::uint64_t kind);
    std::string own_name(rmap::OperationId id) const;

    std::unordered_map<rmap::OperationId, Operation> operations_;
    std::unordered_map<rmap::ActorId, std::vector<rmap::OperationId>> open_;  ///< innermost last
    std::deque<rmap::OperationId> ended_;
};

}  // namespace mmusim::platform
