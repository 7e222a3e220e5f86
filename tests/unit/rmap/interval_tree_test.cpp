// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/interval_tree.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace mmusim::rmap;

namespace {

struct Member {
    char name;
};

std::string overlapping(const IntervalTree<Member>& tree, std::uint64_t first, std::uint64_t last) {
    std::string names;
    tree.for_each_overlap(first, last, [&](Member& member) {
        names += member.name;
        return Visit::kContinue;
    });
    return names;
}

}  // namespace

TEST_CASE("interval tree: overlapping members come in ascending order of their start",
          "[unit][rmap]") {
    IntervalTree<Member> tree;
    Member a{'a'}, b{'b'}, c{'c'}, d{'d'};
    tree.insert(c, 20, 29);
    tree.insert(a, 0, 100);  // the longest starts far before what it overlaps
    tree.insert(d, 30, 39);
    tree.insert(b, 10, 19);

    CHECK(overlapping(tree, 0, 200) == "abcd");
    CHECK(overlapping(tree, 19, 20) == "abc");
    CHECK(overlapping(tree, 25, 25) == "ac");
    CHECK(overlapping(tree, 40, 40) == "a");
    CHECK(overlapping(tree, 100, 100) == "a");
    CHECK(overlapping(tree, 101, 200).empty());
}

TEST_CASE("interval tree: members with the same start come in the order of insertion",
          "[unit][rmap]") {
    IntervalTree<Member> tree;
    Member x{'x'}, a{'a'}, m{'m'};
    tree.insert(x, 5, 9);
    tree.insert(a, 5, 30);
    tree.insert(m, 5, 6);
    CHECK(overlapping(tree, 5, 5) == "xam");
    tree.remove(a, 5);
    CHECK(overlapping(tree, 5, 5) == "xm");
    tree.insert(a, 5, 30);
    CHECK(overlapping(tree, 5, 5) == "xma");
}

TEST_CASE("interval tree: insert_after puts a child directly behind its parent", "[unit][rmap]") {
    IntervalTree<Member> tree;
    Member parent{'p'}, other{'o'}, first{'1'}, second{'2'};
    tree.insert(parent, 5, 9);
    tree.insert(other, 5, 9);
    tree.insert_after(first, 5, 9, parent);
    tree.insert_after(second, 5, 9, parent);
    CHECK(overlapping(tree, 7, 7) == "p21o");
}

TEST_CASE("interval tree: a visitor can stop the walk", "[unit][rmap]") {
    IntervalTree<Member> tree;
    std::vector<Member> members(5, Member{'m'});
    for (auto& member : members) tree.insert(member, 0, 9);
    unsigned visited = 0;
    tree.for_each_overlap(
        0, 9, [&](Member&) { return ++visited == 3 ? Visit::kStop : Visit::kContinue; });
    CHECK(visited == 3);
}
