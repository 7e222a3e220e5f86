// SPDX-License-Identifier: Apache-2.0
// X5: what is deferred, and who flushes it when.
#include <catch2/catch.hpp>

#include "rmap/unmap/unmap_flush.hpp"
#include "tests/unit/rmap/unmap_subject.hpp"

using namespace mmusim::rmap;
using namespace mmusim::test;

namespace {

/// CPU 0 unmaps a page as reclaim does.
void unmap_for_reclaim(KernelBench& bench, Mm& mm, std::uint64_t index) {
    Page& page = bench.isolate(mm, index);
    REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
    REQUIRE(bench.try_to_unmap(page, kReclaim));
}

/// A kernel thread takes the CPU over, on the mm of the task before it.
void enter_lazy_tlb(KernelBench& bench, CpuId id, Task& thread) {
    bench.cpu(id).current = &thread;
    bench.flush.enter_lazy_tlb(bench.cpu(id));
}

std::uint64_t full_flushes_on(KernelBench& bench, CpuId id) {
    std::uint64_t count = 0;
    for (const auto& record : bench.trace().find(Event::kTlbFlush))
        count += record.actor == id && RecordingTrace::argument(record, "pages") == kAllPages;
    return count;
}

}  // namespace

TEST_CASE("X5: a mapping is deferred only if another CPU has the mm loaded", "[unit][rmap]") {
    KernelBench::Config config;
    config.cpus = 3;
    KernelBench bench(config);
    Mm& nowhere = bench.anon_mm(1, {});
    Mm& elsewhere = bench.anon_mm(1, {1});
    Mm& two = bench.anon_mm(1, {0, 2});
    for (Mm* mm : {&nowhere, &elsewhere, &two}) {
        Page& page = bench.isolate(*mm, 0);
        REQUIRE(add_to_swap(bench.cpu(), bench.kernel.state(), page));
        const std::uint64_t gen = bench.tlb_gen(*mm);
        REQUIRE(bench.try_to_unmap(page, kReclaim));
        CHECK(bench.trace().count(Event::kPteClearDefer) == (mm == &nowhere ? 0u : 1u));
        CHECK(bench.tlb_gen(*mm) == gen + 1);
    }
    // One round for both address spaces, to the union of their masks.
    CHECK(bench.cpu().current->tlb_ubc.cpumask.word(0) == 0b111);
}

TEST_CASE("X5: a lazy CPU counts as another one and flushes when it comes back", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {1});
    Task thread;
    enter_lazy_tlb(bench, 1, thread);
    unmap_for_reclaim(bench, mm, 0);
    CHECK(bench.trace().count(Event::kPteClearDefer) == 1);
    CHECK(bench.cpu().current->tlb_ubc.cpumask.word(0) == 0b10);
    bench.machine.interrupts(0).sent.clear();
    try_to_unmap_flush(bench.cpu(), bench.kernel.state());
    CHECK(bench.machine.interrupts(0).sent.empty());
    CHECK(full_flushes_on(bench, 1) == 0);
    bench.run(1, mm);
    CHECK(full_flushes_on(bench, 1) == 1);
}

TEST_CASE("X5: a CPU that switched away is caught up when it switches in", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(2, {1});
    unmap_for_reclaim(bench, mm, 0);
    // Between the note and the flush: it is interrupted for an mm that it does not run.
    bench.run_kernel_thread(1);
    bench.trace().clear();
    bench.machine.interrupts(0).sent.clear();
    try_to_unmap_flush(bench.cpu(), bench.kernel.state());
    CHECK(bench.machine.interrupts(0).sent.size() == 1);
    CHECK(bench.machine.interrupts(0).sent.front().targets.word(0) == 0b10);
    bench.run(1, mm);
    CHECK(full_flushes_on(bench, 1) == 1);
    CHECK(bench.flush.cpu_tlbstate(1).loaded_mm.id == mm.context.id);

    // Before the note: nobody else has the mm, so the entry is flushed at once.
    bench.run_kernel_thread(1);
    bench.trace().clear();
    unmap_for_reclaim(bench, mm, 1);
    CHECK(bench.trace().count(Event::kPteClearDefer) == 0);
    CHECK_FALSE(bench.cpu().current->tlb_ubc.flush_required);
    bench.trace().clear();
    bench.run(1, mm);
    CHECK(full_flushes_on(bench, 1) == 1);
}

TEST_CASE("X5: a dirty entry that was deferred is flushed once before its page is written",
          "[unit][rmap]") {
    KernelBench bench;
    bench.anon_mm(2, {1});
    bench.kernel.reclaim_pages(bench.cpu(), {});
    CHECK(bench.order({Event::kPteClearDefer, Event::kArchTlbbatchFlush, Event::kSwapWritepage,
                       Event::kPageFree}) ==
          "pte_clear_defer arch_tlbbatch_flush swap_writepage "
          "pte_clear_defer arch_tlbbatch_flush swap_writepage mm_page_free mm_page_free");
}

TEST_CASE("X5: two address spaces of one batch share one round of interrupts", "[unit][rmap]") {
    KernelBench::Config config;
    config.cpus = 3;
    KernelBench bench(config);
    Mm& one = bench.anon_mm(1, {1});
    Mm& other = bench.anon_mm(1, {2});
    unmap_for_reclaim(bench, one, 0);
    unmap_for_reclaim(bench, other, 0);
    bench.machine.interrupts(0).sent.clear();
    bench.trace().clear();
    try_to_unmap_flush(bench.cpu(), bench.kernel.state());
    CHECK(bench.machine.interrupts(0).sent.size() == 1);
    CHECK(bench.machine.interrupts(0).sent.front().targets.word(0) == 0b110);
    for (const CpuId id : {1u, 2u}) CHECK(full_flushes_on(bench, id) == 1);
    CHECK(bench.trace().count(Event::kArchTlbbatchFlush) == 1);
}
