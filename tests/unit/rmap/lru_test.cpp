// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/lru.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

std::vector<FrameNumber> on_list(KernelBench& bench, LruList which) {
    std::vector<FrameNumber> frames;
    const PageList& list = bench.kernel.state().lru.lruvec(0, 0).list(which);
    for (Page* page = list.empty() ? nullptr : &list.head(); page; page = PageList::next(*page))
        frames.push_back(page->pfn());
    return frames;
}

}  // namespace

TEST_CASE("lru: a page goes to the head of the list that its flags name", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {}, {});
    const FrameNumber first = bench.mapped_page(mm, 0).pfn();
    const FrameNumber second = bench.mapped_page(mm, 1).pfn();
    CHECK(on_list(bench, LruList::kActiveAnon) == std::vector<FrameNumber>{second, first});
    Lru& lru = bench.kernel.state().lru;
    lru.deactivate_page(bench.cpu(), bench.mapped_page(mm, 1));
    CHECK(on_list(bench, LruList::kActiveAnon) == std::vector<FrameNumber>{first});
    CHECK(on_list(bench, LruList::kInactiveAnon) == std::vector<FrameNumber>{second});
    lru.deactivate_page(bench.cpu(), bench.mapped_page(mm, 1));  // nothing to do
    activate_page(bench.cpu(), bench.kernel.state(), bench.mapped_page(mm, 1));
    bench.drain();
    CHECK(on_list(bench, LruList::kActiveAnon) == std::vector<FrameNumber>{second, first});
}

TEST_CASE("lru: an isolated page is on no list and held", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Page& page = bench.mapped_page(mm, 0);
    Lru& lru = bench.kernel.state().lru;
    REQUIRE(lru.isolate_lru_page(bench.cpu(), page));
    CHECK(page.refcount(bench.cpu()) == 2);
    CHECK(on_list(bench, LruList::kInactiveAnon).empty());
    CHECK_FALSE(lru.isolate_lru_page(bench.cpu(), page));
    activate_page(bench.cpu(), bench.kernel.state(), page);  // not on a list: stays as it is
    CHECK(page.refcount(bench.cpu()) == 2);
    putback_lru_page(bench.cpu(), bench.kernel.state(), page);
    bench.drain();
    CHECK(on_list(bench, LruList::kInactiveAnon) == std::vector<FrameNumber>{page.pfn()});
    CHECK(page.refcount(bench.cpu()) == 1);
}

TEST_CASE("lru: the second reference to a page of a file activates it", "[unit][rmap]") {
    KernelBench bench;
    auto& file = bench.kernel.create_file("file", 1);
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_file(bench.cpu(), mm, bench.range(1), file);
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    bench.drain();
    Page& page = bench.mapped_page(mm, 0);
    KernelState& kernel = bench.kernel.state();
    mark_page_accessed(bench.cpu(), kernel, page);
    CHECK(on_list(bench, LruList::kInactiveFile).size() == 1);
    CHECK(page.test(bench.cpu(), PageFlag::kReferenced));
    mark_page_accessed(bench.cpu(), kernel, page);
    bench.drain();
    CHECK(on_list(bench, LruList::kActiveFile).size() == 1);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kReferenced));
}

TEST_CASE("lru: a lazyfree page goes to the inactive file list and loses its marks",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {}, {});
    Page& page = bench.mapped_page(mm, 0);
    page.set(bench.cpu(), PageFlag::kReferenced);
    REQUIRE(page.test(bench.cpu(), PageFlag::kActive));
    mark_page_lazyfree(bench.cpu(), bench.kernel.state(), page);
    bench.drain();
    CHECK(on_list(bench, LruList::kActiveAnon).empty());
    CHECK(on_list(bench, LruList::kInactiveFile) == std::vector<FrameNumber>{page.pfn()});
    for (const PageFlag flag :
         {PageFlag::kSwapBacked, PageFlag::kActive, PageFlag::kReferenced, PageFlag::kUnevictable})
        CHECK_FALSE(page.test(bench.cpu(), flag));
    CHECK(page.refcount(bench.cpu()) == 1);
}

TEST_CASE("lru: pages that are isolated or cached or mlocked do not become lazyfree",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(3, {0});
    Lru& lru = bench.kernel.state().lru;
    Page& isolated = bench.mapped_page(mm, 0);
    REQUIRE(lru.isolate_lru_page(bench.cpu(), isolated));
    Page& cached = bench.mapped_page(mm, 1);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), cached));
    Page& mlocked = bench.mapped_page(mm, 2);
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(1, 2)) == Errno::kNone);
    for (Page* page : {&isolated, &cached, &mlocked}) {
        mark_page_lazyfree(bench.cpu(), bench.kernel.state(), *page);
        bench.drain();
        CHECK(page->test(bench.cpu(), PageFlag::kSwapBacked));
    }
    CHECK(on_list(bench, LruList::kInactiveFile).empty());
}

TEST_CASE("lru: accesses do not take a page off the unevictable list", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {0});
    REQUIRE(bench.kernel.mlock(bench.cpu(), mm, bench.range(1)) == Errno::kNone);
    Page& page = bench.mapped_page(mm, 0);
    bench.drain();
    for (int i = 0; i < 3; ++i) mark_page_accessed(bench.cpu(), bench.kernel.state(), page);
    CHECK(page.test(bench.cpu(), PageFlag::kReferenced));
    activate_page(bench.cpu(), bench.kernel.state(), page);
    bench.drain();
    CHECK(on_list(bench, LruList::kUnevictable) == std::vector<FrameNumber>{page.pfn()});
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kActive));
}

TEST_CASE("lru: the last reference takes a page off its list before it is freed", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Page& page = bench.mapped_page(mm, 0);
    bench.kernel.munmap(bench.cpu(), mm, bench.range(1));
    CHECK(on_list(bench, LruList::kInactiveAnon).empty());
    CHECK(page.refcount(bench.cpu()) == 0);
    CHECK_FALSE(page.test(bench.cpu(), PageFlag::kLru));
}

TEST_CASE("page list: a page is on one list at a time", "[unit][rmap]") {
    KernelBench bench;
    Page& page = bench.kernel.state().pages.alloc_page(bench.cpu(), 0);
    PageList one;
    PageList other;
    one.add_tail(page);
    CHECK(one.contains(page));
    CHECK_THROWS_AS(other.add_head(page), InvariantError);
    CHECK_THROWS_AS(other.remove(page), InvariantError);
    one.remove(page);
    other.add_head(page);
    CHECK(other.size() == 1);
    CHECK(one.empty());
}

TEST_CASE("page list: splicing keeps the order and empties the other list", "[unit][rmap]") {
    KernelBench bench;
    PageList one;
    PageList other;
    std::vector<Page*> pages;
    for (unsigned i = 0; i < 3; ++i) {
        pages.push_back(&bench.kernel.state().pages.alloc_page(bench.cpu(), 0));
        (i == 0 ? one : other).add_tail(*pages.back());
    }
    one.splice_tail(other);
    CHECK(other.empty());
    CHECK(one.size() == 3);
    CHECK(&one.head() == pages[0]);
    CHECK(PageList::next(*pages[0]) == pages[1]);
    CHECK(&one.tail() == pages[2]);
}
