// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page_allocator.hpp"

#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;
using mmusim::test::PlainMachine;

namespace {

struct Bench {
    Bench() : machine(1), memory(layout()), pages(memory) {}

    static MemoryLayout layout() {
        MemoryLayout result;
        result.reserved_frames = 64;
        result.nodes = {{{0x100}, 3}, {{0x200}, 2}};
        return result;
    }
    Cpu& cpu() { return machine.cpu(0); }
    std::uint64_t alloc(NodeId nid) { return pages.alloc_page(cpu(), nid).pfn().value; }
    void free(std::uint64_t pfn) { pages.free_unref_page(cpu(), pages.pfn_to_page({pfn})); }

    PlainMachine machine;
    KernelMemory memory;
    PageAllocator pages;
};

}  // namespace

TEST_CASE("page allocator: new frames ascend and the one freed last comes first", "[unit][rmap]") {
    Bench bench;
    CHECK(bench.alloc(0) == 0x100);
    CHECK(bench.alloc(0) == 0x101);
    bench.free(0x100);
    bench.free(0x101);
    CHECK(bench.pages.nr_free_pages(0) == 3);
    CHECK(bench.alloc(0) == 0x101);
    CHECK(bench.alloc(0) == 0x100);
    CHECK(bench.alloc(0) == 0x102);
}

TEST_CASE("page allocator: a full node falls back to the next and at last there is an error",
          "[unit][rmap]") {
    Bench bench;
    CHECK(bench.alloc(1) == 0x200);
    CHECK(bench.alloc(1) == 0x201);
    CHECK(bench.alloc(1) == 0x100);
    CHECK(bench.alloc(0) == 0x101);
    CHECK(bench.alloc(0) == 0x102);
    CHECK_THROWS_AS(bench.alloc(0), InvariantError);
}

TEST_CASE("page allocator: freeing ends a generation and clears what the page was",
          "[unit][rmap]") {
    Bench bench;
    Page& page = bench.pages.alloc_page(bench.cpu(), 0);
    page.set(bench.cpu(), PageFlag::kDirty);
    page.set_mapping(bench.cpu(), {0x41});
    CHECK(page.refcount(bench.cpu()) == 1);
    page.set_refcount(bench.cpu(), 0);
    bench.machine.trace().clear();
    bench.free(page.pfn().value);
    CHECK(page.generation == 1);
    CHECK(page.flags(bench.cpu()) == 0);
    CHECK(page.mapping(bench.cpu()).null());
    const auto freed = bench.machine.trace().first(Event::kPageFree);
    CHECK(bench.machine.trace().argument(freed, "generation") == 0);
    CHECK(bench.machine.trace().count(Event::kPageFreeBatched) == 0);
    bench.alloc(0);
    const auto allocated = bench.machine.trace().first(Event::kPageAlloc);
    CHECK(bench.machine.trace().argument(allocated, "generation") == 1);
}

TEST_CASE("page allocator: a list is freed from its head and prepared as a whole first",
          "[unit][rmap]") {
    Bench bench;
    PageList list;
    for (const NodeId nid : {0, 1, 0}) list.add_tail(bench.pages.alloc_page(bench.cpu(), nid));
    bench.machine.trace().clear();
    bench.pages.free_unref_page_list(bench.cpu(), list);
    CHECK(list.empty());
    CHECK(bench.machine.trace().lines({"pfn"}) ==
          std::vector<std::string>{
              "free_unref_page_list", "mm_page_free pfn=0x100", "mm_page_free pfn=0x200",
              "mm_page_free pfn=0x101", "mm_page_free_batched pfn=0x100",
              "mm_page_free_batched pfn=0x200", "mm_page_free_batched pfn=0x101"});
    CHECK(bench.alloc(0) == 0x101);
}

TEST_CASE("page allocator: interrupts are off while the zone is locked and on again after",
          "[unit][rmap]") {
    Bench bench;
    Page& page = bench.pages.alloc_page(bench.cpu(), 0);
    CHECK(bench.machine.time(0).interrupts() == Interrupts::kOn);
    auto during = Interrupts::kOn;
    PageList list;
    list.add_head(page);
    bench.machine.trace().at_next(Event::kPageFreeBatched, 0,
                                  [&] { during = bench.machine.time(0).interrupts(); });
    bench.pages.free_unref_page_list(bench.cpu(), list);
    CHECK(during == Interrupts::kOff);
    CHECK(bench.machine.time(0).interrupts() == Interrupts::kOn);
}

TEST_CASE("kernel memory: regions of one kind do not overlap those of another", "[unit][rmap]") {
    MemoryLayout layout;
    layout.cpus = 2;
    layout.nodes = {{{0x1000}, 100}, {{0x2000}, 100}};
    layout.reserved_frames = KernelMemory::fixed_frames(layout) + 2;
    KernelMemory memory(layout);
    const PhysAddr first_page = memory.struct_page_line({0x1000});
    CHECK(memory.struct_page_line({0x1063}) == first_page + 99 * kLineSize);
    CHECK(memory.struct_page_line({0x2000}) == first_page + 100 * kLineSize);
    CHECK(memory.page_to_nid({0x2063}) == 1);
    CHECK_THROWS_AS(memory.struct_page_line({0x1064}), InvariantError);

    const PhysAddr slab = memory.allocate_object(0);
    CHECK(slab > memory.struct_page_line({0x2063}));
    CHECK(memory.allocate_object(0) == slab + kLineSize);
    CHECK(memory.allocate_object(1) == slab + MemoryLayout{}.slab_lines * kLineSize);
    const PhysAddr words = memory.allocate_words(9);
    CHECK(words >= slab + 2 * MemoryLayout{}.slab_lines * kLineSize);
    CHECK(memory.allocate_line() == words + 2 * kLineSize);
    CHECK(address_of(memory.allocate_frame()) > words + 3 * kLineSize);
    CHECK_THROWS_AS(memory.allocate_words(1024), InvariantError);
}
