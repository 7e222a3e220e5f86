// SPDX-License-Identifier: Apache-2.0
#include "rmap/account/accountant.hpp"

#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;

namespace {

/// A CPU whose every step is charged.
struct Clock {
    explicit Clock(Accountant& a) : account(a) {}

    void step(Part part, std::uint64_t ns) {
        now += nanoseconds(ns);
        account.charge(part, nanoseconds(ns));
    }
    OperationId begin(OperationKind kind) { return account.begin(kind, now); }
    OperationResult end(OperationId id, Outcome outcome = Outcome::kDone) {
        account.end(id, now, outcome);
        return account.finished().back();
    }

    Accountant& account;
    Instant now;
};

}  // namespace

TEST_CASE("accountant: the parts of an operation are the steps between its ends",
          "[unit][account]") {
    Accountant account(3);
    Clock clock(account);
    clock.step(Part::kUser, 100);
    const OperationId id = clock.begin(OperationKind::kMunmap);
    clock.step(Part::kSyscall, 20);
    clock.step(Part::kRmapWalk, 30);
    clock.step(Part::kSyscall, 1);
    const OperationResult result = clock.end(id);
    clock.step(Part::kUser, 100);

    CHECK(result.id == id);
    CHECK(result.parts[Part::kSyscall] == nanoseconds(21));
    CHECK(result.parts[Part::kRmapWalk] == nanoseconds(30));
    CHECK(result.parts.sum() == result.end - result.begin);
    CHECK(result.parts[Part::kUser] == Duration{});
}

TEST_CASE("accountant: an outer operation contains the inner one", "[unit][account]") {
    Accountant account(0);
    Clock clock(account);
    const auto call = clock.begin(OperationKind::kReclaim);
    clock.step(Part::kSyscall, 5);
    const auto batch = clock.begin(OperationKind::kShrinkPageList);
    clock.step(Part::kLru, 7);
    const auto page = clock.begin(OperationKind::kUnmap);
    CHECK(account.current() == page);
    clock.step(Part::kPteAccess, 11);
    const OperationResult page_result = clock.end(page);
    CHECK(account.current() == batch);
    const OperationResult batch_result = clock.end(batch);
    const OperationResult call_result = clock.end(call);

    CHECK(page_result.parts.sum() == nanoseconds(11));
    CHECK(batch_result.parts.sum() == nanoseconds(7 + 11));
    CHECK(call_result.parts.sum() == nanoseconds(5 + 7 + 11));
    CHECK(call_result.parts[Part::kPteAccess] == nanoseconds(11));
    CHECK(account.current() == 0);
}

TEST_CASE("accountant: a lingering page keeps shared work and calls the rest other pages",
          "[unit][account]") {
    Accountant account(0);
    Clock clock(account);
    const auto batch = clock.begin(OperationKind::kShrinkPageList);
    const auto first = clock.begin(OperationKind::kUnmap);
    clock.step(Part::kPteAccess, 3);
    account.linger(first);
    CHECK(account.current() == batch);
    const auto second = clock.begin(OperationKind::kUnmap);
    clock.step(Part::kPteAccess, 5);
    account.linger(second);
    clock.step(Part::kIpiSend, 7);
    const OperationResult first_result = clock.end(first);
    const OperationResult second_result = clock.end(second);
    const OperationResult batch_result = clock.end(batch);

    CHECK(first_result.parts[Part::kPteAccess] == nanoseconds(3));
    CHECK(first_result.parts[Part::kBatchWait] == nanoseconds(5));
    CHECK(first_result.parts[Part::kIpiSend] == nanoseconds(7));
    CHECK(first_result.parts.sum() == first_result.end - first_result.begin);
    CHECK(second_result.parts[Part::kPteAccess] == nanoseconds(5));
    CHECK(second_result.parts[Part::kBatchWait] == Duration{});
    CHECK(batch_result.parts[Part::kPteAccess] == nanoseconds(3 + 5));
    CHECK(batch_result.parts[Part::kIpiSend] == nanoseconds(7));
}

TEST_CASE("accountant: an interrupt's time is an interruption whatever it is spent on",
          "[unit][account]") {
    Accountant account(0);
    Clock clock(account);
    const OperationId cause = operation_id(7, 1);
    const auto own = clock.begin(OperationKind::kPageFault);
    clock.step(Part::kFault, 2);
    account.enter_interrupt(cause);
    CHECK(account.current() == cause);
    clock.step(Part::kHandler, 40);
    account.enter_interrupt(cause + 1);
    clock.step(Part::kHandler, 1);
    account.leave_interrupt();
    clock.step(Part::kHandler, 1);
    account.leave_interrupt();
    CHECK(account.current() == own);
    clock.step(Part::kFault, 2);

    const OperationResult result = clock.end(own);
    CHECK(result.parts[Part::kInterrupted] == nanoseconds(42));
    CHECK(result.parts[Part::kFault] == nanoseconds(4));
    CHECK(result.parts[Part::kHandler] == Duration{});
}

TEST_CASE("accountant: time that nobody charged is noticed", "[unit][account]") {
    Accountant account(0);
    Clock clock(account);
    const auto id = clock.begin(OperationKind::kMunmap);
    clock.now += nanoseconds(1);
    CHECK_THROWS_AS(clock.end(id), InvariantError);
}

TEST_CASE("accountant: only the innermost or a lingering operation can end", "[unit][account]") {
    Accountant account(0);
    Clock clock(account);
    const auto outer = clock.begin(OperationKind::kReclaim);
    const auto page = clock.begin(OperationKind::kUnmap);
    CHECK_THROWS_AS(clock.end(outer), InvariantError);
    CHECK_THROWS_AS(account.linger(outer), InvariantError);
    clock.end(page, Outcome::kAbandoned);
    CHECK(account.finished().back().outcome == Outcome::kAbandoned);
    CHECK_THROWS_AS(clock.end(page), InvariantError);
    CHECK_THROWS_AS(account.linger(outer), InvariantError);  // not a page
}

TEST_CASE("accountant: operation ids name the actor and its own count", "[unit][account]") {
    Accountant account(4);
    Clock clock(account);
    CHECK(clock.begin(OperationKind::kReclaim) == operation_id(4, 1));
    CHECK(clock.begin(OperationKind::kUnmap) == operation_id(4, 2));
    CHECK(operation_id(4, 1) != operation_id(5, 1));
    CHECK(operation_id(0, 1) != 0);
}
