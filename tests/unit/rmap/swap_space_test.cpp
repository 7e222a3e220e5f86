// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/swap_space.hpp"

#include <catch2/catch.hpp>

#include "rmap/mm/page_release.hpp"
#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

TEST_CASE("swap: slots are handed out in order and the one freed last comes first",
          "[unit][rmap]") {
    KernelBench bench;
    SwapSpace& swap = bench.kernel.state().swap;
    const auto first = swap.get_swap_page(bench.cpu());
    const auto second = swap.get_swap_page(bench.cpu());
    REQUIRE(first);
    REQUIRE(second);
    CHECK(second->value() == first->value() + 1);
    swap.put_swap_page(bench.cpu(), *first);
    CHECK(swap.used() == 1);
    CHECK(swap.get_swap_page(bench.cpu())->value() == first->value());
}

TEST_CASE("swap: a slot is free when neither entries nor the cache use it", "[unit][rmap]") {
    KernelBench bench;
    SwapSpace& swap = bench.kernel.state().swap;
    const SwapEntry entry = *swap.get_swap_page(bench.cpu());
    REQUIRE(swap.swap_duplicate(bench.cpu(), entry));
    REQUIRE(swap.swap_duplicate(bench.cpu(), entry));
    swap.put_swap_page(bench.cpu(), entry);
    CHECK(swap.used() == 1);
    CHECK_FALSE(swap.swap_entry_free(bench.cpu(), entry));
    CHECK(swap.swap_count(bench.cpu(), entry) == 1);
    CHECK(swap.swapcache_prepare(bench.cpu(), entry) == SwapSpace::Prepared::kYes);
    CHECK(swap.swapcache_prepare(bench.cpu(), entry) == SwapSpace::Prepared::kBusy);
    CHECK(swap.swap_entry_free(bench.cpu(), entry));  // only the cache is left
    CHECK(swap.used() == 1);
    swap.put_swap_page(bench.cpu(), entry);
    CHECK(swap.used() == 0);
    CHECK(swap.swapcache_prepare(bench.cpu(), entry) == SwapSpace::Prepared::kFree);
}

TEST_CASE("swap: a page in the cache is found by its entry and holds a reference", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Page& page = bench.isolate(mm, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    CHECK(page.refcount(bench.cpu()) == 3);  // mapping, isolation, cache
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    KernelState& kernel = bench.kernel.state();
    CHECK(find_get_page(bench.cpu(), kernel, kernel.swap.cache, page.swap.offset, Part::kSwap) ==
          &page);
    delete_from_swap_cache(bench.cpu(), kernel, page);
    CHECK_FALSE(find_get_page(bench.cpu(), kernel, kernel.swap.cache, 0, Part::kSwap));
    CHECK(page.refcount(bench.cpu()) == 3);  // ours instead of the cache's
    CHECK(kernel.swap.used() == 0);
}

TEST_CASE("swap: writing a page whose slot nobody needs only frees the slot", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Page& page = bench.isolate(mm, 0);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    bench.trace().clear();
    swap_writepage(bench.cpu(), bench.kernel.state(), page);
    CHECK(bench.order({Event::kSwapWritepage, Event::kTryToFreeSwap, Event::kDoSwapWritepage,
                       Event::kPageSealed, Event::kSwapWritepageRet}) ==
          "swap_writepage try_to_free_swap swap_writepage_ret");
    CHECK(page.test(bench.cpu(), PageFlag::kDirty));
    CHECK(trylock_page(bench.cpu(1), page));  // unlocked in any case
}

TEST_CASE("swap: the write of a page is one synchronous step of the device", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    const PartTimes before = bench.machine.time(0).charged();
    bench.kernel.reclaim_pages(bench.cpu(), {});
    const PartTimes spent = bench.machine.time(0).charged() - before;
    CHECK(spent[Part::kWriteback] == bench.machine.costs().swap_write);
    CHECK(bench.pte(mm, 0).swap_type());
}
