// SPDX-License-Identifier: Apache-2.0
#include "models/observe/settled_stream.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <tuple>
#include <vector>

namespace mmusim::models {
namespace {

using rmap::EventRecord;
using rmap::Instant;
using Key = std::tuple<std::uint64_t, rmap::ActorId, std::uint32_t>;

struct Keys final : EventSink {
    std::vector<Key> seen;
    void on_record(const EventRecord& record) override {
        seen.emplace_back(record.time.ps, record.actor, record.sequence);
    }
};

EventRecord record(std::uint64_t ps, rmap::ActorId actor, std::uint32_t sequence) {
    EventRecord result;
    result.time = Instant{ps};
    result.actor = actor;
    result.sequence = sequence;
    return result;
}

TEST_CASE("settled_stream: releases what is earlier than kernel time and nothing else",
          "[unit][oracle]") {
    Keys keys;
    SettledStream stream;
    stream.add_sink(keys);
    stream.post(record(9, 0, 0));
    stream.post(record(10, 0, 1));
    stream.post(record(11, 0, 2));
    stream.release(Instant{10});
    CHECK(keys.seen == std::vector<Key>{{9, 0, 0}});
    stream.release(Instant{11});
    CHECK(keys.seen == std::vector<Key>{{9, 0, 0}, {10, 0, 1}});
    CHECK(stream.released() == 2);
    stream.finish();
    CHECK(keys.seen.size() == 3);
    CHECK(stream.released() == 3);
}

TEST_CASE("settled_stream: orders ties of time by actor and then by sequence", "[unit][oracle]") {
    Keys keys;
    SettledStream stream;
    stream.add_sink(keys);
    stream.post(record(5, 2, 0));
    stream.post(record(5, 1, 7));
    stream.post(record(5, 1, 8));
    stream.post(record(5, 0, 3));
    stream.post(record(6, 0, 4));
    stream.finish();
    CHECK(keys.seen == std::vector<Key>{{5, 0, 3}, {5, 1, 7}, {5, 1, 8}, {5, 2, 0}, {6, 0, 4}});
}

TEST_CASE("settled_stream: the order does not depend on when records are posted and released",
          "[unit][oracle]") {
    std::mt19937 random(1);
    constexpr rmap::ActorId kActors = 100;
    std::vector<std::vector<EventRecord>> by_actor(kActors);
    for (rmap::ActorId actor = 0; actor < kActors; ++actor) {
        std::uint64_t time = 0;
        for (std::uint32_t i = 0; i < 200; ++i)
            by_actor[actor].push_back(record(time += random() % 3, actor, i));
    }
    const auto run = [&](std::uint64_t step) {
        Keys keys;
        SettledStream stream;
        stream.add_sink(keys);
        std::vector<std::size_t> next(kActors, 0);
        for (std::uint64_t now = 0; now < 700; now += step) {
            // Every actor runs ahead of kernel time by its own distance.
            for (rmap::ActorId actor = kActors; actor-- > 0;)
                for (auto& i = next[actor]; i < by_actor[actor].size() &&
                                            by_actor[actor][i].time.ps < now + step + actor % 7;
                     ++i)
                    stream.post(by_actor[actor][i]);
            stream.release(Instant{now});
        }
        stream.finish();
        return keys.seen;
    };
    const auto expected = run(1);
    CHECK(expected.size() == kActors * 200);
    CHECK(std::is_sorted(expected.begin(), expected.end()));
    CHECK(run(10) == expected);
    CHECK(run(699) == expected);
}

TEST_CASE("settled_stream: every sink gets every record in the order of registration",
          "[unit][oracle]") {
    std::vector<int> calls;
    struct Numbered final : EventSink {
        Numbered(int n, std::vector<int>& c) : number(n), list(c) {}
        void on_record(const EventRecord&) override { list.push_back(number); }
        int number;
        std::vector<int>& list;
    };
    Numbered first(1, calls), second(2, calls);
    SettledStream stream;
    stream.add_sink(first);
    stream.add_sink(second);
    stream.post(record(1, 0, 0));
    stream.post(record(2, 0, 1));
    stream.finish();
    CHECK(calls == std::vector<int>{1, 2, 1, 2});
}

TEST_CASE("settled_stream: refuses records that are out of order or too late", "[unit][oracle]") {
    SettledStream stream;
    stream.post(record(20, 3, 1));
    CHECK_THROWS_AS(stream.post(record(19, 3, 2)), rmap::InvariantError);
    CHECK_THROWS_AS(stream.post(record(20, 3, 1)), rmap::InvariantError);
    CHECK_NOTHROW(stream.post(record(20, 3, 2)));
    stream.release(Instant{30});
    CHECK_NOTHROW(stream.post(record(30, 4, 0)));
    CHECK_THROWS_AS(stream.post(record(29, 5, 0)), rmap::InvariantError);
    CHECK_THROWS_AS(stream.post(record(40, rmap::kNoActor, 0)), rmap::InvariantError);
}

}  // namespace
}  // namespace mmusim::models
