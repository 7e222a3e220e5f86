// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/table_builder.hpp"

#include <catch2/catch.hpp>
#include <map>

namespace mmusim::test {

using rmap::FrameNumber;
using rmap::PhysAddr;
using rmap::TableBuilder;
using rmap::Word;

namespace {

/// Words in which no time passes, and an allocator that aligns.
class Words final : public rmap::PhysMemPort {
public:
    Word load(PhysAddr address, rmap::Part) override { return words[address.value]; }
    Word read_modify_write(PhysAddr address, Apply apply, rmap::Part) override {
        Word& word = words[address.value];
        const Word old = word;
        word = apply(old, {});
        return old;
    }
    FrameNumber allocate(unsigned order) {
        const std::uint64_t frames = std::uint64_t{1} << order;
        next = (next + frames - 1) / frames * frames + frames;
        return {next - frames};
    }
    std::map<std::uint64_t, Word> words;
    std::uint64_t next = 1;
};

struct Tables {
    explicit Tables(const rmap::PageTableFormat& format)
        : builder(format, words, [this](unsigned order) { return words.allocate(order); }) {}
    Words words;
    TableBuilder builder;
};

constexpr std::uint64_t kAddress = 0x2345678000;

}  // namespace

TEST_CASE("table builder: a page of every size of every format is found where it was mapped",
          "[unit][format]") {
    for (const auto* format : rmap::page_table_formats())
        for (const unsigned order : format->page_orders()) {
            CAPTURE(format->name, order);
            Tables tables(*format);
            auto& builder = tables.builder;
            CHECK(builder.root().value % (rmap::kPageSize << format->table_order(format->levels)) ==
                  0);
            const FrameNumber frame{std::uint64_t{5} << order};
            builder.map(kAddress, order, frame, {}, 3);
            const std::uint64_t size = rmap::kPageSize << order;
            const std::uint64_t first = kAddress / size * size;
            for (const std::uint64_t address : {first, kAddress, first + size - 1}) {
                const auto leaf = builder.find(address);
                REQUIRE(leaf);
                CHECK(leaf->says.frame == frame);
                CHECK(format->page_order(leaf->level, leaf->says.joined) == order);
                CHECK(tables.words.words[leaf->entry.value].generation == 3);
            }
            CHECK_FALSE(builder.find(first - 1));
            CHECK_FALSE(builder.find(first + size));
            builder.unmap(kAddress, order);
            CHECK_FALSE(builder.find(first));
            CHECK_FALSE(builder.find(first + size - 1));
        }
}

TEST_CASE("table builder: attributes are those of the leaf", "[unit][format]") {
    for (const auto* format : rmap::page_table_formats()) {
        CAPTURE(format->name);
        Tables tables(*format);
        TableBuilder::Attributes attributes;
        attributes.executable = false;
        attributes.dirty = false;
        const unsigned order = format->page_orders().front();
        const FrameNumber frame{std::uint64_t{5} << order};
        tables.builder.map(kAddress, order, frame, attributes);
        const auto says = tables.builder.find(kAddress)->says;
        CHECK(says.writable);
        CHECK_FALSE(says.dirty);
        CHECK_FALSE(says.executable);
        attributes.writable = false;
        tables.builder.map(kAddress, order, frame, attributes);
        CHECK_FALSE(tables.builder.find(kAddress)->says.writable);
    }
}

TEST_CASE("table builder: a large page and a table take the place of each other",
          "[unit][format]") {
    Tables tables(rmap::x86_64_4level());
    auto& builder = tables.builder;
    builder.map(kAddress, 0, FrameNumber{9}, {});
    builder.map(kAddress, 9, FrameNumber{512}, {});
    CHECK(builder.find(kAddress)->level == 2);
    builder.map(kAddress, 0, FrameNumber{10}, {});
    CHECK(builder.find(kAddress)->says.frame == FrameNumber{10});
    CHECK_FALSE(builder.find(kAddress + rmap::kPageSize));
    builder.unmap(kAddress + rmap::kLargeSize, 0);  // of what has no table
    CHECK(builder.find(kAddress));
}

}  // namespace mmusim::test
