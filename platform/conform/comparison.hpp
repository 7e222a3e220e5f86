// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "platform/conform/bindings.hpp"
#include "platform/conform/call_stack.hpp"
#include "platform/conform/capture.hpp"
#include "rmap/types/event.hpp"

namespace mmusim::platform {

/// What events do not say of themselves but captures do. Answers are numbers of our own, 0 = none.
class EventContext {
public:
    virtual ~EventContext() = default;
    /// The VMA of our address space `mm` that contains `address`.
    virtual std::uint64_t vma(rmap::MmId mm, std::uint64_t address) = 0;
    /// Whether the hardware of a CPU found an entry that did not allow the access, at its last
    /// fault, rather than none.
    virtual bool protection_fault(rmap::CpuId cpu) = 0;
    /// The address_space (page_mapping()) of our page; 0: it has none. Those of the swap cache, of
    /// which we have one and captures one for every part of swap, are numbers below
    /// kSwapperSpaces; none: it is one of them, and nothing has said yet which slot the page has.
    virtual std::optional<std::uint64_t> mapping(std::uint64_t frame) = 0;
    static constexpr std::uint64_t kSwapperSpaces = 1 << 16;
};

/// The event of ours that has a name in captures of this kernel; none: unknown to us.
std::optional<rmap::Event> event_of_capture(const std::string& name);

/// Compares events of ours with those of a capture, arguments included: numbers as they are, things
/// through what they are bound to, generations by their distance from the first.
class Comparison {
public:
    explicit Comparison(EventContext& context) : context_(context) {}

    /// Empty if they are the same; otherwise what differs, for people. `calls` are the functions
    /// that the CPU is in.
    std::string difference(const CaptureEvent& theirs, rmap::Event event,
                           const rmap::EventArguments& ours, const CallStack& calls);

    Bindings& bindings() { return bindings_; }
    /// The tlb_gen of our mm is `ours` when the capture's is `theirs`.
    void bind_generation(rmap::MmId mm, std::uint64_t theirs, std::uint64_t ours) {
        generation_base_[mm] = theirs - ours;
    }

private:
    struct Ours;
    std::string compare(const CaptureArgument& theirs, const CaptureEvent& event, const Ours& ours);
    bool same_mapping(std::uint64_t theirs, std::optional<std::uint64_t> ours);
    bool same_entry(std::uint64_t theirs, std::uint64_t ours);
    bool same_generation(std::uint64_t mm, std::uint64_t theirs, std::uint64_t ours);

    EventContext& context_;
    Bindings bindings_;
    std::unordered_map<std::uint64_t, std::uint64_t> generation_base_;  ///< by our mm
};

/// An event of ours in the capture's words, as far as its things are bound.
std::string event_text(rmap::Event event, const rmap::EventArguments& arguments);
std::string event_text(const CaptureEvent& event);

}  // namespace mmusim::platform
