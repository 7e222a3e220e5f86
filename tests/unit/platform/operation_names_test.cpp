// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/operation_names.hpp"

#include <catch2/catch.hpp>

#include "tests/support/event_stream.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using rmap::operation_id;
using rmap::OperationKind;
using test::EventStream;

struct Stream : EventStream {
    Stream& begin(std::uint64_t count, OperationKind kind) {
        in(operation_id(0, count))
            .emit(Event::kOperationBegin, {static_cast<std::uint64_t>(kind), 1});
        return *this;
    }
    Stream& end(std::uint64_t count, OperationKind kind = OperationKind::kUnmap) {
        in(operation_id(0, count))
            .emit(Event::kOperationEnd, {static_cast<std::uint64_t>(kind), 1});
        return *this;
    }
};

TEST_CASE("operation_names: an operation is named within the one around it", "[unit][oracle]") {
    OperationNames names;
    Stream()
        .begin(1, OperationKind::kReclaim)
        .begin(2, OperationKind::kShrinkPageList)
        .begin(3, OperationKind::kUnmap)
        .play(names);
    CHECK(names.name(operation_id(0, 3)) == "unmap 0.3 in shrink_page_list 0.2");
    CHECK(names.name(operation_id(0, 1)) == "reclaim 0.1");
}

TEST_CASE("operation_names: pages of a batch lie beside each other", "[unit][oracle]") {
    OperationNames names;
    // The first page waits for the end of its batch while the second one is unmapped.
    Stream()
        .begin(1, OperationKind::kShrinkPageList)
        .begin(2, OperationKind::kUnmap)
        .begin(3, OperationKind::kUnmap)
        .end(2)
        .begin(4, OperationKind::kUnmap)
        .end(3)
        .end(4)
        .end(1, OperationKind::kShrinkPageList)
        .begin(5, OperationKind::kMunmap)
        .play(names);
    CHECK(names.name(operation_id(0, 3)) == "unmap 0.3 in shrink_page_list 0.1");
    CHECK(names.name(operation_id(0, 4)) == "unmap 0.4 in shrink_page_list 0.1");
    CHECK(names.name(operation_id(0, 5)) == "munmap 0.5");
}

TEST_CASE("operation_names: pages may end in the name of their batch", "[unit][oracle]") {
    OperationNames names;
    Stream stream;
    stream.begin(1, OperationKind::kReclaim).begin(2, OperationKind::kShrinkPageList);
    stream.begin(3, OperationKind::kUnmap).begin(4, OperationKind::kUnmap).end(2).end(2);
    stream.begin(5, OperationKind::kUnmap).end(2, OperationKind::kShrinkPageList);
    stream.begin(6, OperationKind::kUnmap);
    stream.play(names);
    CHECK(names.name(operation_id(0, 5)) == "unmap 0.5 in shrink_page_list 0.2");
    CHECK(names.name(operation_id(0, 6)) == "unmap 0.6 in reclaim 0.1");
}

TEST_CASE("operation_names: actors do not nest in each other", "[unit][oracle]") {
    OperationNames names;
    EventStream stream;
    stream.in(operation_id(0, 1)).emit(Event::kOperationBegin, {0, 1});
    stream.on(1).in(operation_id(1, 1)).emit(Event::kOperationBegin, {5, 1});
    stream.play(names);
    CHECK(names.name(operation_id(1, 1)) == "page_fault 1.1");
}

TEST_CASE("operation_names: what is not known still has a number", "[unit][oracle]") {
    const OperationNames names;
    CHECK(names.name(operation_id(2, 9)) == "operation 2.9");
    CHECK(names.name(0) == "no operation");
}

TEST_CASE("operation_names: forgets what ended long ago and keeps what is open", "[unit][oracle]") {
    OperationNames names;
    Stream stream;
    stream.begin(1, OperationKind::kReclaim);
    for (std::uint64_t i = 2; i < OperationNames::kEndedKept + 3; ++i)
        stream.begin(i, OperationKind::kUnmap).end(i);
    stream.play(names);
    CHECK(names.name(operation_id(0, 1)) == "reclaim 0.1");
    CHECK(names.name(operation_id(0, 2)) == "operation 0.2");
    CHECK(names.name(operation_id(0, 3)) == "unmap 0.3 in reclaim 0.1");
}

TEST_CASE("operation_names: forgets the pages of a batch with their batch", "[unit][oracle]") {
    OperationNames names;
    Stream stream;
    for (std::uint64_t i = 1; i <= OperationNames::kEndedKept + 2; i += 2) {
        stream.begin(i, OperationKind::kShrinkPageList).begin(i + 1, OperationKind::kUnmap);
        stream.end(i).end(i, OperationKind::kShrinkPageList);
    }
    stream.play(names);
    CHECK(names.name(operation_id(0, 2)) == "operation 0.2");
    CHECK(names.name(operation_id(0, 4)) == "unmap 0.4 in shrink_page_list 0.3");
}

}  // namespace
}  // namespace mmusim::platform
