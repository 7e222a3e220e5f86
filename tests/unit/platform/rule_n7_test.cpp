// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n7_retry_protocol.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kClient = 7, kMm = 2, kVa = 0x1000, kPfn = 0x1a2b, kSequence = 5;

struct Stream : EventStream {
    Stream() { on(1); }
    Stream& count(std::uint64_t count, std::uint64_t sequence = kSequence) {
        on(3).emit(Event::kClientCount, {kClient, kMm, count, sequence});
        return on(1), *this;
    }
    Stream& read(std::uint64_t va = kVa, std::uint64_t sequence = kSequence) {
        return emit(Event::kKvmSequenceRead, {kClient, kMm, va, sequence}), *this;
    }
    Stream& resolve(std::uint64_t va = kVa, std::uint64_t pfn = kPfn) {
        return emit(Event::kKvmHvaToPfn, {kClient, kMm, va, pfn, 4}), *this;
    }
    Stream& retry() { return emit(Event::kKvmRetry, {kClient, kMm, kVa, 1, kSequence}), *this; }
    Stream& set() { return emit(Event::kSpteSet, {kClient, kMm, kVa, 0x37, kPfn, 4}), *this; }
    Stream& remove() { return emit(Event::kSpteClear, {kClient, kMm, kVa, 0, kPfn, 4}), *this; }
    Stream& by(rmap::ActorId actor) { return on(actor), *this; }
};

test::Verdict judge(const EventStream& stream) { return test::judge<RetryProtocolMonitor>(stream); }
std::string missing(const EventStream& stream) {
    const auto verdict = judge(stream);
    CHECK(verdict.violated == 1);
    return verdict.missing();
}

TEST_CASE("rule N7: read, resolve, check and set pass", "[unit][oracle]") {
    const auto verdict = judge(Stream().count(0).read().resolve().set());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    CHECK(judge(Stream().read().resolve().set()).violated == 0);  // no section ever
    // A conflict, and then once more.
    CHECK(judge(Stream()
                    .count(0)
                    .read()
                    .resolve()
                    .count(1)
                    .retry()
                    .count(1, kSequence + 1)
                    .count(0, kSequence + 1)
                    .read(kVa, kSequence + 1)
                    .resolve()
                    .set())
              .violated == 0);
}

TEST_CASE("rule N7: an open section breaks it", "[unit][oracle]") {
    CHECK(missing(Stream().count(1).read().resolve().set()) ==
          "client 7 made an entry for mm 2 va 0x1000 while its count of open sections was 1");
    CHECK(missing(Stream().read().resolve().count(2).set()).find("was 2") != std::string::npos);
}

TEST_CASE("rule N7: a section that came and went breaks it", "[unit][oracle]") {
    const Stream stream = Stream().count(0).read().resolve().count(1).count(0, kSequence + 1).set();
    CHECK(missing(stream) ==
          "client 7 made an entry for mm 2 va 0x1000 after its sequence went from 5 to 6");
    CHECK(judge(stream).breaches.at(0).window == rmap::nanoseconds(40));
    CHECK(judge(stream).breaches.at(0).translation == "mm 2 va 0x1000 -> pfn 0x1a2b gen 4");
}

TEST_CASE("rule N7: the steps out of order break it", "[unit][oracle]") {
    const std::string entry = "client 7 made an entry for mm 2 va 0x1000 ";
    CHECK(missing(Stream().set()) == entry + "without having read its sequence");
    CHECK(missing(Stream().resolve().read().set()) ==
          entry + "without having resolved the page after it read its sequence");
    CHECK(missing(Stream().read().set()).find("resolved") != std::string::npos);
    CHECK(missing(Stream().read().resolve(kVa + 0x1000).set()).find("resolved") !=
          std::string::npos);
    CHECK(missing(Stream().read(kVa + 0x1000).resolve().set()).find("read its sequence") !=
          std::string::npos);
    CHECK(missing(Stream().by(1).read().by(2).resolve().set()).find("read its sequence") !=
          std::string::npos);
    CHECK(missing(Stream().read().resolve(kVa, kPfn + 1).set()) ==
          entry + "with another page than it had resolved, pfn 0x1a2c");
}

TEST_CASE("rule N7: one look at the sequence is good for one entry", "[unit][oracle]") {
    CHECK(missing(Stream().read().resolve().set().remove().set()).find("read its sequence") !=
          std::string::npos);
    CHECK(missing(Stream().read().resolve().retry().set()).find("read its sequence") !=
          std::string::npos);
}

TEST_CASE("rule N7: an entry that is there may get other bits", "[unit][oracle]") {
    const auto verdict = judge(Stream().read().resolve().set().count(1).set());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    CHECK(judge(Stream().read().resolve().set().read().retry().set()).violated == 0);
}

}  // namespace
}  // namespace mmusim::platform
