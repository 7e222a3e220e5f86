// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/hazards/hz2_lost_mapping.hpp"
#include "tests/support/hazard_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kMm = 2, kVa = 0x1000, kPfn = 0x1a2b;

struct Stream : EventStream {
    Stream& clear(std::uint64_t pfn = kPfn) {
        return emit(Event::kPtepClearFlush, {kMm, kVa, 0, 0x67, pfn, 4}), *this;
    }
    Stream& warn() { return emit(Event::kSwapSlotMissingWarning, {kPfn, kMm, kVa}), *this; }
};

Occurrences judge(const EventStream& stream) {
    return test::occurrences<LostMappingMonitor>(stream);
}

TEST_CASE("hazard HZ2: every mapping that is given up counts and the first is described",
          "[unit][oracle]") {
    const auto found = judge(Stream().clear().warn().clear().warn());
    CHECK(found.count() == 2);
    CHECK(found.first().time == rmap::Instant{20'000});
    CHECK(found.first().what == "mm 2 va 0x1000 lost pfn 0x1a2b, which still counts this mapping");
    CHECK(found.first().translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
    CHECK(found.total_window().ps == 0);
}

TEST_CASE("hazard HZ2: a clear alone is none", "[unit][oracle]") {
    CHECK(judge(Stream().clear()).count() == 0);
}

TEST_CASE("hazard HZ2: the translation is that of the page or none", "[unit][oracle]") {
    CHECK(judge(Stream().clear(kPfn + 1).warn()).first().translation == "");
    CHECK(judge(Stream().warn()).first().translation == "");
}

}  // namespace
}  // namespace mmusim::platform
