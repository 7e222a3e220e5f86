// SPDX-License-Identifier: Apache-2.0
#include "rmap/account/accountant.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

std::string_view name(OperationKind kind) {
    static constexpr std::string_view kNames[kOperationKinds] = {
        "reclaim",    "shrink_page_list", "unmap",      "move_pages", "munmap",
        "page_fault", "oom_reap",         "mlock",      "munlock",    "page_idle",
        "fsync",      "truncate",         "fallocate",  "mmap",       "mprotect",
        "mremap",     "madvise",          "clear_refs", "fork",       "exit"};
    return kNames[static_cast<std::size_t>(kind)];
}

OperationId Accountant::begin(OperationKind kind, Instant now) {
    Open open;
    open.id = operation_id(actor_, ++count_);
    open.kind = kind;
    open.begin = now;
    open.page = page_;
    open.shared = shared_;
    open_.push_back(open);
    update_current();
    if (is_page(kind)) begin_page();
    return open.id;
}

void Accountant::linger(OperationId id) {
    MMUSIM_CHECK(!open_.empty() && open_.back().id == id && is_page(open_.back().kind),
                 "only the innermost page operation can linger");
    Open open = open_.back();
    open_.pop_back();
    update_current();
    end_page();
    open.parts = page_ - open.page;
    open.parts += shared_ - open.shared;
    open.page = page_;
    open.shared = shared_;
    open.lingering = true;
    lingering_.push_back(open);
}

Accountant::Open Accountant::take(OperationId id) {
    if (!open_.empty() && open_.back().id == id) {
        const Open open = open_.back();
        open_.pop_back();
        update_current();
        if (is_page(open.kind)) end_page();
        return open;
    }
    const auto it = std::find_if(lingering_.begin(), lingering_.end(),
                                 [&](const Open& open) { return open.id == id; });
    MMUSIM_CHECK(it != lingering_.end(), "the operation is neither innermost nor lingering");
    const Open open = *it;
    lingering_.erase(it);
    return open;
}

void Accountant::end(OperationId id, Instant now, Outcome outcome, std::uint64_t pages) {
    const Open open = take(id);
    OperationResult result{id, open.kind, outcome, pages, open.begin, now, open.parts};
    result.parts += shared_ - open.shared;
    const PartTimes page_time = page_ - open.page;
    if (open.lingering)
        result.parts[Part::kBatchWait] += page_time.sum();
    else
        result.parts += page_time;
    MMUSIM_CHECK(result.parts.sum() == now - open.begin,
                 "the parts of an operation must add up to its latency");
    finished_.push_back(result);
}

}  // namespace mmusim::rmap
