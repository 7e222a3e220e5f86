// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <unordered_map>
#include <vector>

#include "platform/run/access_plan.hpp"

namespace mmusim::platform {
namespace {

using rmap::Access;
using rmap::VirtAddr;
using rmap::VirtRange;
using Next = AccessPlan::Next;

constexpr VirtRange kOwn{{0x10000}, {0x12000}};
constexpr VirtRange kFirst{{0x20000}, {0x22000}};
constexpr VirtRange kSecond{{0x30000}, {0x31000}};

/// Words that cost no time.
class Words final : public rmap::PhysMemPort, public rmap::LineAllocator {
public:
    rmap::Word load(rmap::PhysAddr address, rmap::Part) override { return words_[address]; }
    rmap::Word read_modify_write(rmap::PhysAddr address, Apply apply, rmap::Part) override {
        const rmap::Word old = words_[address];
        words_[address] = apply(old, {});
        return old;
    }
    rmap::PhysAddr allocate_line() override { return next_ = next_ + rmap::kLineSize; }

private:
    std::unordered_map<rmap::PhysAddr, rmap::Word> words_;
    rmap::PhysAddr next_;
};

struct Bench {
    explicit Bench(bool follows = false, std::uint64_t limit = 0)
        : rendezvous(words, 1, 1), plan(use(follows, limit), rendezvous) {}

    static MemoryUse use(bool follows, std::uint64_t limit) {
        const auto touched = [](unsigned, std::uint64_t request) -> std::vector<Touch> {
            return {{request == 1 ? kFirst : kSecond, Access::kWrite, true}};
        };
        return {AccessStream({kOwn}, AccessPattern::kSequential, 0, 1), touched, limit, follows};
    }
    /// Addresses of the next `count` accesses.
    std::vector<std::uint64_t> take(unsigned count) {
        std::vector<std::uint64_t> addresses;
        for (unsigned i = 0; i < count && plan.next(words) == Next::kAccess; ++i)
            addresses.push_back(plan.access().address.value);
        return addresses;
    }

    Words words;
    Rendezvous rendezvous;
    AccessPlan plan;
};

using Addresses = std::vector<std::uint64_t>;

TEST_CASE("access plan: what an operation asks for comes first and is answered after it",
          "[unit][run]") {
    Bench bench;
    const auto request = bench.rendezvous.request_touch(bench.words, 0);
    CHECK(bench.take(2) == Addresses{0x20000, 0x21000});
    CHECK(bench.plan.access().kind == Access::kWrite);
    CHECK_FALSE(bench.rendezvous.answered(bench.words, 0, request));
    CHECK(bench.take(3) == Addresses{0x10000, 0x11000, 0x10000});
    CHECK(bench.rendezvous.answered(bench.words, 0, request));
    CHECK(bench.plan.answers() == 1);
}

TEST_CASE("access plan: each request is answered once", "[unit][run]") {
    Bench bench;
    bench.rendezvous.request_touch(bench.words, 0);
    const auto second = bench.rendezvous.request_touch(bench.words, 0);
    CHECK(bench.take(4) == Addresses{0x20000, 0x21000, 0x30000, 0x10000});
    CHECK(bench.rendezvous.answered(bench.words, 0, second));
}

TEST_CASE("access plan: whoever follows unmapping goes on using the latest buffer only",
          "[unit][run]") {
    Bench bench(true);
    bench.rendezvous.request_touch(bench.words, 0);
    CHECK(bench.take(6) == Addresses{0x20000, 0x21000, 0x10000, 0x11000, 0x20000, 0x21000});
    bench.rendezvous.request_touch(bench.words, 0);
    CHECK(bench.take(64 - 4).size() == 60);  // up to the next look
    CHECK(bench.take(1) == Addresses{0x30000});
    for (const auto address : bench.take(6)) CHECK(address < kFirst.start.value + 0x10000 + 0x1000);
    for (const auto address : bench.take(6)) CHECK_FALSE(kFirst.contains({address}));
}

TEST_CASE("access plan: at its limit it waits and when all is over it has finished",
          "[unit][run]") {
    Bench bench(false, 3);
    CHECK(bench.take(10).size() == 3);
    CHECK(bench.plan.next(bench.words) == Next::kWait);
    bench.rendezvous.finish_operation(bench.words);
    CHECK(bench.plan.next(bench.words) == Next::kFinished);
}

}  // namespace
}  // namespace mmusim::platform
