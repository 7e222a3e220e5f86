// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "models/mem/line_history.hpp"

namespace mmusim::test {

using models::LineHistory;
using rmap::Duration;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Word;

namespace {

constexpr Duration kC = nanoseconds(20);
constexpr Instant at(std::uint64_t ns) { return Instant{} + nanoseconds(ns); }

std::uint64_t seen(const LineHistory& line, unsigned word, rmap::ActorId reader, Instant now) {
    return line.value(word, line.visible_until(reader, now, kC)).value;
}

}  // namespace

TEST_CASE("line history: a write is seen by its writer at once and by others after C",
          "[unit][memory]") {
    LineHistory line;
    line.set_base(2, Word{7, 0});
    line.append(2, at(100), 1, Word{8, 0}, at(0));
    CHECK(seen(line, 2, 1, at(100)) == 8);
    CHECK(seen(line, 2, 0, at(119)) == 7);
    CHECK(seen(line, 2, 0, at(120)) == 8);
    CHECK(seen(line, 3, 0, at(120)) == 0);
}

TEST_CASE("line history: whoever wrote the line has seen all earlier writes of it",
          "[unit][memory]") {
    LineHistory line;
    line.append(0, at(100), 1, Word{5, 0}, at(0));
    line.append(1, at(110), 2, Word{6, 0}, at(0));
    CHECK(seen(line, 0, 2, at(111)) == 5);
    CHECK(seen(line, 0, 3, at(111)) == 0);
}

TEST_CASE("line history: folding what everybody sees changes nothing", "[unit][memory]") {
    LineHistory kept;
    LineHistory folded;
    for (std::uint64_t i = 1; i <= 50; ++i) {
        kept.append(i % 8, at(i * 10), static_cast<rmap::ActorId>(i % 3), Word{i, 0}, at(0));
        folded.append(i % 8, at(i * 10), static_cast<rmap::ActorId>(i % 3), Word{i, 0},
                      at(i * 10 - 25));
    }
    for (rmap::ActorId reader = 0; reader < 4; ++reader) {
        for (unsigned word = 0; word < 8; ++word)
            CHECK(seen(kept, word, reader, at(505)) == seen(folded, word, reader, at(505)));
        const auto until = kept.visible_until(reader, at(505), kC);
        CHECK(kept.foreign_write(reader, at(30), until) ==
              folded.foreign_write(reader, at(30), until));
    }
}

TEST_CASE("line history: a copy is stale from the first foreign write after it was made",
          "[unit][memory]") {
    LineHistory line;
    line.append(0, at(100), 1, Word{5, 0}, at(0));
    CHECK(line.foreign_write(2, at(99), at(200)) == rmap::ActorId{1});
    CHECK_FALSE(line.foreign_write(2, at(100), at(200)).has_value());
    CHECK_FALSE(line.foreign_write(1, at(0), at(200)).has_value());
    CHECK_FALSE(line.foreign_write(2, at(0), at(99)).has_value());
}

TEST_CASE("line history: an owner learns of a reader C after the read", "[unit][memory]") {
    LineHistory line;
    line.add_sharer(at(100), 2, at(0));
    unsigned sharers = 0;
    const auto count = [&](rmap::ActorId) { ++sharers; };
    line.take_sharers(1, at(119), kC, count);
    CHECK(sharers == 0);
    line.take_sharers(1, at(120), kC, count);
    CHECK(sharers == 1);
    line.take_sharers(1, at(500), kC, count);
    CHECK(sharers == 1);
}

TEST_CASE("line history: many readers are remembered without a cap", "[unit][memory]") {
    LineHistory line;
    for (rmap::ActorId reader = 0; reader < 100; ++reader)
        line.add_sharer(at(100 + reader), reader, at(reader > 40 ? 100 + reader - 30 : 0));
    std::vector<bool> told(100, false);
    line.take_sharers(0, at(1000), kC, [&](rmap::ActorId reader) { told[reader] = true; });
    CHECK(std::count(told.begin(), told.end(), true) == 99);
}

}  // namespace mmusim::test
