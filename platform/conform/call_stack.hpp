// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// The functions that our events say a CPU is in, outermost first: what the tracer of a capture
/// writes as "caller" of a return follows from it. Functions whose return is no event stay until
/// the one around them returns.
class CallStack {
public:
    void record(rmap::Event event, const rmap::EventArguments& arguments);

    /// The function that the return `event` goes to; empty if no row of the table applies.
    std::string_view caller_of(rmap::Event event) const;

    /// Whether a caller in a capture is what we call it: of functions that call each other once,
    /// compilers leave one.
    static bool is_same_caller(std::string_view ours, std::string_view theirs);

private:
    std::vector<rmap::Event> open_;
};

}  // namespace mmusim::platform
