// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <map>
#include <vector>

#include "models/walker/nested_walk.hpp"
#include "tests/support/print_types.hpp"

namespace mmusim::test {

using models::EntryRead;
using models::Translation;
using rmap::Access;
using rmap::EptEntry;
using rmap::FrameNumber;
using rmap::GuestPhysAddr;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::PageNumber;
using rmap::PhysAddr;
using rmap::Word;

namespace {

constexpr std::uint64_t kUsed = EptEntry::kAccessed | EptEntry::kDirty;
/// Index n in the table of level n.
constexpr GuestPhysAddr kAddress{4ull << 39 | 3ull << 30 | 2ull << 21 | 1ull << 12 | 0x123};

/// Tables of one walk: level n lies in frame 10 + n. Every access takes a nanosecond.
class Tables {
public:
    Tables() {
        for (unsigned level = 4; level > 1; --level)
            set(level, EptEntry::table(FrameNumber{10 + level - 1}));
    }
    void set(unsigned level, EptEntry entry, rmap::Generation generation = 0) {
        words_[at(level).value] = {entry.raw(), generation};
    }
    EptEntry entry(unsigned level) { return EptEntry(words_[at(level).value].value); }

    std::optional<Translation> walk(Access access) {
        const auto access_entry = [&](PhysAddr address, const rmap::PhysMemPort::Apply* apply) {
            now_ += nanoseconds(1);
            Word& word = words_[address.value];
            if (!apply) {
                ++reads;
                return EntryRead{word, now_};
            }
            ++locked;
            if (before_locked) std::exchange(before_locked, nullptr)();
            const Word old = word;
            word = (*apply)(old, now_);
            return EntryRead{old, now_};
        };
        return models::walk_second_stage(rmap::address_of(FrameNumber{14}), kAddress, access,
                                         access_entry);
    }

    unsigned reads = 0;
    unsigned locked = 0;
    std::function<void()> before_locked;  ///< what somebody else does meanwhile, once

private:
    static PhysAddr at(unsigned level) {
        return rmap::address_of(FrameNumber{10 + level}) + 8 * level;
    }
    std::map<std::uint64_t, Word> words_;
    Instant now_;
};

}  // namespace

TEST_CASE("nested walk: a 4 KiB leaf takes four reads and no store when its bits are set",
          "[unit][walker]") {
    Tables tables;
    tables.set(1, EptEntry::leaf(FrameNumber{700}, true).with(kUsed), 9);
    const auto leaf = tables.walk(Access::kWrite);
    REQUIRE(leaf);
    CHECK(leaf->frame == FrameNumber{700});
    CHECK(leaf->generation == 9);
    CHECK(leaf->writable);
    CHECK(leaf->dirty);
    CHECK(leaf->order == 0);
    CHECK(leaf->read_at == Instant{} + nanoseconds(4));
    CHECK(tables.reads == 4);
    CHECK(tables.locked == 0);
    CHECK(models::physical(kAddress, *leaf) == rmap::address_of(FrameNumber{700}) + 0x123);
}

TEST_CASE("nested walk: a 2 MiB leaf ends the walk one level earlier", "[unit][walker]") {
    Tables tables;
    tables.set(2, EptEntry::leaf(FrameNumber{1024}, true).with(kUsed | EptEntry::kLargePage));
    const auto leaf = tables.walk(Access::kRead);
    REQUIRE(leaf);
    CHECK(leaf->order == rmap::kLargeOrder);
    CHECK(leaf->frame == FrameNumber{1024});
    CHECK(tables.reads == 3);
    CHECK(models::physical(kAddress, *leaf) == rmap::address_of(FrameNumber{1025}) + 0x123);
}

TEST_CASE("nested walk: a read sets the accessed bit and a write the dirty bit as well",
          "[unit][walker]") {
    Tables tables;
    tables.set(1, EptEntry::leaf(FrameNumber{700}, true));
    REQUIRE(tables.walk(Access::kRead));
    CHECK(tables.entry(1) == EptEntry::leaf(FrameNumber{700}, true).with(EptEntry::kAccessed));
    CHECK_FALSE(tables.walk(Access::kRead)->dirty);
    CHECK(tables.locked == 1);
    CHECK(tables.walk(Access::kWrite)->dirty);
    CHECK(tables.entry(1) == EptEntry::leaf(FrameNumber{700}, true).with(kUsed));
    CHECK(tables.locked == 2);
}

TEST_CASE("nested walk: every level has to allow the access", "[unit][walker]") {
    for (unsigned level = 1; level <= 4; ++level) {
        CAPTURE(level);
        Tables tables;
        tables.set(1, EptEntry::leaf(FrameNumber{700}, true));
        const EptEntry entry = tables.entry(level);
        tables.set(level, entry.without(EptEntry::kWrite));
        CHECK_FALSE(tables.walk(Access::kWrite));
        REQUIRE(tables.walk(Access::kRead));
        CHECK_FALSE(tables.walk(Access::kRead)->writable);
        tables.set(level, EptEntry{});
        CHECK_FALSE(tables.walk(Access::kRead));
    }
}

TEST_CASE("nested walk: bits are set in the entry that was read and in no other",
          "[unit][walker]") {
    Tables tables;
    const auto first = EptEntry::leaf(FrameNumber{700}, true);
    tables.set(1, first);
    SECTION("an entry that was cleared stays clear") {
        tables.before_locked = [&] { tables.set(1, EptEntry{}); };
        CHECK_FALSE(tables.walk(Access::kWrite));
        CHECK(tables.entry(1) == EptEntry{});
    }
    SECTION("an entry that lost its permission stays as it is") {
        tables.before_locked = [&] { tables.set(1, first.without(EptEntry::kWrite)); };
        CHECK_FALSE(tables.walk(Access::kWrite));
        CHECK(tables.entry(1) == first.without(EptEntry::kWrite));
    }
    SECTION("an entry of another page is read again and used as it is now") {
        const auto second = EptEntry::leaf(FrameNumber{701}, true).with(kUsed);
        tables.before_locked = [&] { tables.set(1, second, 5); };
        const auto leaf = tables.walk(Access::kWrite);
        REQUIRE(leaf);
        CHECK(leaf->frame == FrameNumber{701});
        CHECK(leaf->generation == 5);
        CHECK(leaf->read_at == Instant{} + nanoseconds(6));
        CHECK(tables.entry(1) == second);
    }
    SECTION("bits that somebody else has set meanwhile are no change") {
        tables.before_locked = [&] { tables.set(1, first.with(EptEntry::kAccessed)); };
        CHECK(tables.walk(Access::kWrite));
        CHECK(tables.reads == 4);
        CHECK(tables.entry(1) == first.with(kUsed));
    }
    SECTION("a leaf that became a table is walked on through") {
        tables.set(2, EptEntry::leaf(FrameNumber{1024}, true).with(EptEntry::kLargePage));
        tables.before_locked = [&] { tables.set(2, EptEntry::table(FrameNumber{11})); };
        const auto leaf = tables.walk(Access::kRead);
        REQUIRE(leaf);
        CHECK(leaf->frame == FrameNumber{700});
        CHECK(tables.entry(2) == EptEntry::table(FrameNumber{11}));
    }
}

TEST_CASE("nested walk: a combined entry has the smaller page of both stages", "[unit][walker]") {
    constexpr PageNumber kPage{512 + 7};
    const auto stage = [](std::uint64_t frame, bool large) {
        Translation translation;
        translation.frame = FrameNumber{frame};
        translation.order = large ? rmap::kLargeOrder : 0;
        return translation;
    };
    const auto both = [&](bool guest_large, bool host_large) {
        const auto guest = stage(guest_large ? 1024 : 1024 + 9, guest_large);
        const auto frame = guest.frame_of(kPage).value;
        return models::combine(kPage, guest,
                               stage(host_large ? 2048 : 2048 + frame % 512, host_large));
    };
    CHECK(both(false, false).frame == FrameNumber{2048 + 9});
    CHECK(both(false, true).frame == FrameNumber{2048 + 9});
    CHECK(both(true, false).frame == FrameNumber{2048 + 7});
    CHECK(both(true, true).frame == FrameNumber{2048});
    CHECK(both(true, true).order == rmap::kLargeOrder);
    CHECK(both(false, true).order == 0);
    CHECK(both(true, false).order == 0);
}

TEST_CASE("nested walk: a combined entry allows what both stages allow", "[unit][walker]") {
    for (unsigned bits = 0; bits < 16; ++bits) {
        CAPTURE(bits);
        Translation guest;
        guest.writable = bits & 1;
        guest.dirty = bits & 2;
        guest.global = true;
        guest.generation = 3;
        guest.read_at = Instant{10};
        Translation host;
        host.writable = bits & 4;
        host.dirty = bits & 8;
        host.generation = 4;
        host.read_at = Instant{20};
        const auto both = models::combine(PageNumber{1}, guest, host);
        CHECK(both.writable == ((bits & 5) == 5));
        CHECK(both.dirty == ((bits & 10) == 10));
        CHECK(both.global);
        CHECK(both.generation == 4);
        CHECK(both.read_at == Instant{20});
    }
}

}  // namespace mmusim::test
