// SPDX-License-Identifier: Apache-2.0
// The flush stretches of two captures of a 5.0.1 kernel: h_move_anon_n1_thr3 (ptep_clear_flush of
// a page that four threads run) and a_reclaim_anon_dirty_n1_none (the batch of a reclaimer whose
// target runs elsewhere). The order on each CPU is the contract; among CPUs there is none.
#include <catch2/catch.hpp>

#include "tests/unit/flush/flush_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::FlushBench;
using mmusim::test::RecordingTrace;

namespace {

using Lines = std::vector<std::string>;

Lines captured(FlushBench& bench, CpuId cpu) {
    return bench.trace().lines({"reason", "pages", "start", "end", "gen", "old_gen", "stride",
                                "freed_tables", "cpumask", "target", "ret", "vector"},
                               cpu, RecordingTrace::Which::kCaptured);
}

}  // namespace

TEST_CASE("flush_tlb_page: events come in the captured order on all CPUs", "[unit][flush]") {
    FlushBench bench(4);
    const std::uint64_t gen = 7;
    bench.set_tlb_gen(gen - 1);
    bench.load({0, 1, 2, 3});

    bench.flush.flush_tlb_page(bench.cpu(0), bench.mm, FlushBench::kAddress);

    const std::string range = " start=0x100000000000 end=0x100000001000";
    const std::string request = range + " gen=7";
    CHECK(captured(bench, 0) == Lines{"flush_tlb_mm_range" + range + " stride=12 freed_tables=0",
                                      "flush_tlb_func reason=3" + request,
                                      "tlb_flush reason=local_mm_shootdown pages=1",
                                      "flush_tlb_func_ret",
                                      "flush_tlb_others cpumask=0xf" + request,
                                      "tlb_flush reason=remote_send_ipi pages=1",
                                      "tlb_is_not_lazy target=0",
                                      "tlb_is_not_lazy_ret ret=1",
                                      "tlb_is_not_lazy target=1",
                                      "tlb_is_not_lazy_ret ret=1",
                                      "tlb_is_not_lazy target=2",
                                      "tlb_is_not_lazy_ret ret=1",
                                      "tlb_is_not_lazy target=3",
                                      "tlb_is_not_lazy_ret ret=1",
                                      "flush_tlb_func_remote" + request,
                                      "flush_tlb_func reason=1" + request,
                                      "tlb_flush reason=remote_shootdown pages=0",
                                      "flush_tlb_func_ret",
                                      "flush_tlb_others_ret",
                                      "flush_tlb_mm_range_ret" + range});
    for (const CpuId target : {1, 2, 3}) {
        CAPTURE(target);
        CHECK(captured(bench, target) ==
              Lines{"call_function_entry vector=252", "flush_tlb_func_remote" + request,
                    "flush_tlb_func reason=1" + request,
                    "tlb_flush reason=remote_shootdown pages=1", "flush_tlb_func_ret"});
    }
}

TEST_CASE("arch_tlbbatch_flush: events come in the captured order on both CPUs", "[unit][flush]") {
    FlushBench bench(2);
    bench.set_tlb_gen(0xe);
    bench.load({1});

    FlushBatch batch;
    bench.flush.batch_add_mm(bench.cpu(0), batch, bench.mm);
    bench.flush.batch_flush(bench.cpu(0), batch);

    const std::string everything = " start=0x0 end=0xffffffffffffffff gen=0";
    CHECK(captured(bench, 0) ==
          Lines{"ubc_tlb_gen_inc old_gen=14", "arch_tlbbatch_flush cpumask=0x2",
                "flush_tlb_others cpumask=0x2" + everything,
                "tlb_flush reason=remote_send_ipi pages=-1", "tlb_is_not_lazy target=1",
                "tlb_is_not_lazy_ret ret=1", "flush_tlb_others_ret", "arch_tlbbatch_flush_ret"});
    CHECK(captured(bench, 1) ==
          Lines{"call_function_single_entry vector=251", "flush_tlb_func_remote" + everything,
                "flush_tlb_func reason=1" + everything,
                "tlb_flush reason=remote_shootdown pages=-1", "flush_tlb_func_ret"});
}
