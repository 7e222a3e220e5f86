// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/guest_page_tables.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "rmap/types/check.hpp"
#include "rmap/types/pte.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::PlainMachine;

namespace {

constexpr GuestPhysAddr kFirst{0x5000};
constexpr FrameNumber kFrame{0x800};

struct Bench {
    explicit Bench(std::uint64_t frames)
        : tables(machine.cpu(0).memory(), kFirst, kFrame, frames) {}

    /// As the guest's walker would: guest-physical addresses of tables lie in the slot.
    Pte walk(VirtAddr address) {
        GuestPhysAddr table = tables.cr3();
        for (unsigned level = kPageTableLevels;; --level) {
            const FrameNumber frame = kFrame + ((table - kFirst) >> kPageShift);
            const Pte entry{machine.memory()[entry_address(frame, address, level)].value};
            if (level == 1 || !entry.present()) return entry;
            table = {address_of(entry.frame()).value};
        }
    }

    PlainMachine machine{1};
    GuestPageTables tables;
};

/// Hands out the frames that it is given.
class ListedFrames final : public FrameAllocator {
public:
    explicit ListedFrames(std::vector<std::uint64_t> frames) : frames_(std::move(frames)) {}
    PhysAddr allocate_line() override { return {}; }
    FrameNumber allocate_frame() override { return {frames_.at(next_++)}; }

private:
    const std::vector<std::uint64_t> frames_;
    std::size_t next_ = 0;
};

}  // namespace

TEST_CASE("guest page tables: a range maps to guest memory page by page", "[unit][notifiers]") {
    // Across a boundary of every level.
    const VirtRange range{{(1ull << 39) - 2 * kPageSize}, {(1ull << 39) + 2 * kPageSize}};
    Bench bench(GuestPageTables::frames_for(4));
    bench.tables.map(range, {0x40000000});
    for (std::uint64_t page = 0; page < 4; ++page) {
        CAPTURE(page);
        const Pte entry = bench.walk(range.start + page * kPageSize);
        CHECK(entry.frame() == FrameNumber{0x40000 + page});
        CHECK(entry.writable());
        CHECK(entry.young());
        CHECK(entry.dirty());
    }
    CHECK_FALSE(bench.walk(range.end).present());
    CHECK(bench.tables.cr3() == kFirst);
}

TEST_CASE("guest page tables: the number of tables that a range needs is an upper bound",
          "[unit][notifiers]") {
    CHECK(GuestPageTables::frames_for(4) == 1 + 2 + 2 + 2);
    CHECK(GuestPageTables::frames_for(513) == 1 + 3 + 2 + 2);
    const VirtRange range{{(1ull << 39) - kPageSize}, {(1ull << 39) + kPageSize}};
    Bench enough(7);
    CHECK_NOTHROW(enough.tables.map(range, {0}));
    Bench scarce(6);
    CHECK_THROWS_AS(scarce.tables.map(range, {0}), InvariantError);
}

TEST_CASE("guest page tables: ranges share tables and do not overlap", "[unit][notifiers]") {
    Bench bench(4);
    bench.tables.map({{0x1000}, {0x2000}}, {0x7000});
    bench.tables.map({{0x3000}, {0x4000}}, {0x9000});
    CHECK(bench.walk({0x1000}).frame() == FrameNumber{7});
    CHECK(bench.walk({0x3000}).frame() == FrameNumber{9});
    CHECK_THROWS_AS(bench.tables.map({{0x3000}, {0x4000}}, {0xa000}), InvariantError);
}

TEST_CASE("guest page tables: frames in a row are taken upwards or downwards",
          "[unit][notifiers]") {
    ListedFrames up({5, 6, 7});
    CHECK(allocate_frames(up, 3) == FrameNumber{5});
    ListedFrames down({7, 6, 5});
    CHECK(allocate_frames(down, 3) == FrameNumber{5});
    ListedFrames gap({5, 6, 8});
    CHECK_THROWS_AS(allocate_frames(gap, 3), InvariantError);
}
