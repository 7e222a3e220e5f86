// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "platform/oracle/rules/n9_client_start.hpp"
#include "tests/support/rule_judge.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

constexpr std::uint64_t kClient = 1, kMm = 2, kVa = 0x1000, kEnd = 0x3000;
constexpr std::uint64_t kVm = 1, kOutside = 0, kInGuest = 1;
constexpr rmap::ActorId kCpu = 0, kGuestCpu = 4;

struct Stream : EventStream {
    Stream& start(std::uint64_t client = kClient) {
        return emit(Event::kClientStart, {client, kMm, kVa, kEnd}), *this;
    }
    Stream& count(std::uint64_t count = 1) {
        return emit(Event::kClientCount, {kClient, kMm, count, 5}), *this;
    }
    Stream& removed(std::uint64_t from = kVa, std::uint64_t to = kEnd) {
        return emit(Event::kClientZapped, {kClient, kMm, from, to}), *this;
    }
    Stream& ret() { return emit(Event::kClientStartRet, {kClient, kMm, kVa, kEnd}), *this; }
    Stream& entry(std::uint64_t vcpu = 0, rmap::ActorId cpu = kGuestCpu) {
        return on(cpu).emit(Event::kKvmEntry, {kVm, vcpu}).on(kCpu), *this;
    }
    Stream& exit(std::uint64_t vcpu = 0, rmap::ActorId cpu = kGuestCpu) {
        return on(cpu).emit(Event::kKvmExit, {kVm, vcpu, 1}).on(kCpu), *this;
    }
    Stream& request(std::uint64_t mode = kInGuest, std::uint64_t kicked = 1,
                    std::uint64_t vcpu = 0) {
        return on(kCpu).emit(Event::kKvmMakeRequest, {kVm, vcpu, mode, kicked}), *this;
    }
    Stream& ack(std::uint64_t to = kCpu, rmap::ActorId cpu = kGuestCpu) {
        return on(cpu).emit(Event::kCallFunctionAck, {to}).on(kCpu), *this;
    }
    Stream& start_returns() { return emit(Event::kMnStartRet, {kMm, kVa, kEnd}), *this; }
};

test::Verdict judge(const EventStream& stream) { return test::judge<ClientStartMonitor>(stream); }

TEST_CASE("rule N9: count and then removal inside the callback pass", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().count().removed().ret().start_returns());
    CHECK(verdict.judged == 1);
    CHECK(verdict.violated == 0);
    CHECK(judge(Stream().start().count().removed(0, 0x5000).ret()).violated == 0);
}

TEST_CASE("rule N9: a removal before the count breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().removed().count().ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 1 removed its entries of [0x1000, 0x3000) before it raised its count");
}

TEST_CASE("rule N9: a callback that does not raise its count breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().removed().ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 1 returned from START without raising its count for [0x1000, 0x3000)");
    CHECK(judge(Stream().start().count(0).removed().ret()).violated == 1);
    // Counted before or after the callback is not counted in it.
    CHECK(judge(Stream().count().start().removed().ret()).violated == 1);
    CHECK(judge(Stream().start().removed().ret().count()).violated == 1);
}

TEST_CASE("rule N9: a removal after the callback breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().count().ret().removed());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 1 returned from START before its entries of [0x1000, 0x3000) were removed");
    CHECK(verdict.breaches.at(0).window == rmap::nanoseconds(20));
}

TEST_CASE("rule N9: a removal of less than the range breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().count().removed(kVa, 0x2000).ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "client 1 removed only [0x1000, 0x2000) of [0x1000, 0x3000)");
}

TEST_CASE("rule N9: a removal in parts counts as a whole", "[unit][oracle]") {
    const auto in_parts = [](std::uint64_t end, std::uint64_t start) {
        return judge(Stream().start().count().removed(kVa, end).removed(start, kEnd).ret());
    };
    CHECK(in_parts(0x2000, 0x2000).violated == 0);
    CHECK(in_parts(0x2800, 0x1800).violated == 0);
    CHECK(
        judge(Stream().start().count().removed(0x2000, kEnd).removed(kVa, 0x2000).ret()).violated ==
        0);
    CHECK(in_parts(0x1800, 0x2800).missing() ==
          "client 1 removed only [0x1000, 0x1800), [0x2800, 0x3000) of [0x1000, 0x3000)");
}

TEST_CASE("rule N9: a vCPU in guest mode that is not stopped breaks it", "[unit][oracle]") {
    const auto with = [](std::uint64_t mode) {
        return judge(Stream().entry().start().count().request(mode, 0).removed().ret());
    };
    CHECK(with(kInGuest).missing() ==
          "client 1 returned from START while vCPU 0 could still use its entries of [0x1000, "
          "0x3000): it was in guest mode and was not stopped");
    CHECK(with(kOutside).violated == 0);
}

TEST_CASE("rule N9: a callback that returns before a kicked vCPU has left breaks it",
          "[unit][oracle]") {
    const auto verdict = judge(
        Stream().entry().start().count().request().removed().ret().start_returns().exit().ack());
    REQUIRE(verdict.violated == 1);
    CHECK(verdict.missing() ==
          "client 1 returned from START while vCPU 0 could still use its entries of [0x1000, "
          "0x3000): it was kicked and had not left guest mode");
    // Without any entry in the stream, which may have begun in the guest.
    CHECK(
        judge(Stream().start().count().request().removed().ret().start_returns().exit()).violated ==
        1);
    // Another vCPU, on another CPU, or one of two.
    CHECK(judge(Stream().entry().start().count().request().exit(1, 5).removed().ret()).violated ==
          1);
    CHECK(judge(Stream()
                    .entry(0, 4)
                    .entry(1, 5)
                    .start()
                    .count()
                    .request(kInGuest, 1, 0)
                    .request(kInGuest, 1, 1)
                    .exit(0, 4)
                    .ack(kCpu, 4)
                    .removed()
                    .ret())
              .missing()
              .find("vCPU 1 ") != std::string::npos);
    // It had left, and came back, before it was kicked.
    CHECK(judge(Stream().start().count().exit().entry().request().removed().ret()).violated == 1);
}

TEST_CASE("rule N9: a kicked vCPU has left at its exit or its CPU's acknowledgement",
          "[unit][oracle]") {
    const auto begun = [] { return Stream().entry().start().count().request(); };
    CHECK(judge(begun().exit().ack().removed().ret()).violated == 0);
    CHECK(judge(begun().ack().removed().ret().start_returns().exit()).violated == 0);
    CHECK(judge(begun().exit().removed().ret()).violated == 0);
    // It was about to enter for the first time, and saw the request.
    CHECK(judge(Stream().start().count().request().ack().removed().ret()).violated == 0);
    // An acknowledgement to somebody else, or by a CPU that runs no vCPU.
    CHECK(judge(begun().ack(7).removed().ret()).violated == 1);
    CHECK(judge(begun().ack(kCpu, 5).removed().ret()).violated == 1);
}

TEST_CASE("rule N9: START that returns before a callback breaks it", "[unit][oracle]") {
    const auto verdict = judge(Stream().start().count().start_returns().removed().ret());
    CHECK(verdict.violated == 1);
    CHECK(verdict.missing() == "START returned while client 1 was still in its callback");
    CHECK(judge(Stream().start(1).start(7).start_returns()).violated == 2);
}

TEST_CASE("rule N9: callbacks on several CPUs are independent", "[unit][oracle]") {
    Stream stream;
    stream.start().on(1);
    stream.start().count().removed().ret().start_returns().on(0);
    stream.count().removed().ret().start_returns();
    const auto verdict = judge(stream);
    CHECK(verdict.judged == 2);
    CHECK(verdict.violated == 0);
}

TEST_CASE("rule N9: counts and removals outside START are not judged", "[unit][oracle]") {
    CHECK(judge(Stream().count(0).removed().start_returns()).judged == 0);
}

}  // namespace
}  // namespace mmusim::platform
