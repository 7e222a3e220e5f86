// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/anon_vma.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/rmap/kernel_bench.hpp"

using namespace mmusim::rmap;
using mmusim::test::KernelBench;

namespace {

AnonVma* anon_vma_of(KernelBench& bench, Mm& mm, std::uint64_t index = 0) {
    return vma_anon_vma(bench.cpu(), bench.kernel.state(), *mm.find_vma(bench.page(index)));
}

std::uint64_t references(KernelBench& bench, const AnonVma& anon_vma) {
    return bench.machine.memory()[anon_vma.refcount].value;
}

}  // namespace

TEST_CASE("anon_vma: a VMA gets one with its first private page", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(4));
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kRead));
    CHECK_FALSE(anon_vma_of(bench, mm));  // the zero page is nobody's
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(0), Access::kWrite));
    AnonVma* anon_vma = anon_vma_of(bench, mm);
    REQUIRE(anon_vma);
    CHECK(anon_vma->root == anon_vma);
    CHECK(anon_vma->degree == 2);  // its link to itself, and the VMA
    CHECK(references(bench, *anon_vma) == 1);
    CHECK(anon_vma->rb_root.size() == 1);
    REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(3), Access::kWrite));
    CHECK(anon_vma_of(bench, mm) == anon_vma);
}

TEST_CASE("anon_vma: a neighbour that might be merged shares its anon_vma", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.kernel.create_mm(bench.cpu(), "mm");
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2));
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2, 2), VmFlags::kExec);
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2, 4), VmFlags::kSeqRead);
    bench.kernel.mmap_anon(bench.cpu(), mm, bench.range(2, 8));
    for (const std::uint64_t index : {0, 2, 4, 8})
        REQUIRE(bench.kernel.touch(bench.cpu(), mm, bench.page(index), Access::kWrite));
    CHECK(anon_vma_of(bench, mm, 2) == anon_vma_of(bench, mm, 0));  // rights may differ
    CHECK(anon_vma_of(bench, mm, 4) != anon_vma_of(bench, mm, 2));  // other flags may not
    CHECK(anon_vma_of(bench, mm, 8) != anon_vma_of(bench, mm, 4));  // nor is it adjacent
    CHECK(anon_vma_of(bench, mm, 0)->degree == 3);
}

TEST_CASE("anon_vma: fork links the child into the parent's and gives it one of its own",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    AnonVma* of_parent = anon_vma_of(bench, parent);
    AnonVma* of_child = anon_vma_of(bench, child);
    REQUIRE(of_child);
    CHECK(of_child != of_parent);
    CHECK(of_child->parent == of_parent);
    CHECK(of_child->root == of_parent);
    CHECK(of_parent->rb_root.size() == 2);
    CHECK(of_child->rb_root.size() == 1);
    CHECK(of_parent->degree == 3);
    CHECK(of_child->degree == 1);
    CHECK(references(bench, *of_parent) == 2);  // its child holds the root
    const auto& chain = child.find_vma(bench.page(0))->anon_vma_chain;
    CHECK(std::vector<AnonVma*>(chain.begin(), chain.end()) ==
          std::vector<AnonVma*>{of_child, of_parent});
}

TEST_CASE("anon_vma: a child that forks while its parent is gone reuses its anon_vma",
          "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    Mm& grandchild = bench.kernel.fork(bench.cpu(), child, "grandchild");
    AnonVma* of_child = anon_vma_of(bench, child);
    bench.kernel.munmap(bench.cpu(), child, bench.range(1));
    CHECK(of_child->degree == 1);
    CHECK(of_child->rb_root.size() == 1);  // the grandchild's pages may be older than its fork
    // The grandchild's child needs no new one: nobody but this family uses the old one.
    Mm& last = bench.kernel.fork(bench.cpu(), grandchild, "last");
    CHECK(anon_vma_of(bench, last) == of_child);
    CHECK(of_child->degree == 2);
}

TEST_CASE("anon_vma: the last VMA to leave drops it and its hold on the root", "[unit][rmap]") {
    KernelBench bench;
    Mm& parent = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), parent, "child");
    AnonVma* root = anon_vma_of(bench, parent);
    AnonVma* of_child = anon_vma_of(bench, child);
    bench.kernel.munmap(bench.cpu(), parent, bench.range(1));
    CHECK(references(bench, *root) == 2);
    CHECK(root->rb_root.size() == 1);
    bench.kernel.munmap(bench.cpu(), child, bench.range(1));
    CHECK(references(bench, *of_child) == 0);
    CHECK(references(bench, *root) == 0);
    CHECK(root->rb_root.empty());
}

TEST_CASE("anon_vma: one that is freed is allocated again a grace period later", "[unit][rmap]") {
    KernelBench bench;
    Mm& mm = bench.anon_mm(1, {});
    Mm& child = bench.kernel.fork(bench.cpu(), mm, "child");
    AnonVma* const root = anon_vma_of(bench, mm);
    AnonVma* const freed = anon_vma_of(bench, child);
    bench.kernel.munmap(bench.cpu(), child, bench.range(1));
    CHECK(references(bench, *freed) == 0);

    Mm& early = bench.kernel.fork(bench.cpu(), mm, "early");
    CHECK(anon_vma_of(bench, early) != freed);
    bench.cpu().spend(nanoseconds(2'000'000), Part::kUser);
    Mm& late = bench.kernel.fork(bench.cpu(), mm, "late");
    AnonVma* const again = anon_vma_of(bench, late);
    CHECK(again == freed);
    CHECK(references(bench, *again) == 1);
    CHECK(again->root == root);
    CHECK(again->parent == root);
    CHECK(again->degree == 1);
    CHECK(again->rb_root.size() == 1);
    bench.cpu().spend(nanoseconds(2'000'000), Part::kUser);
    Mm& other = bench.kernel.fork(bench.cpu(1), mm, "other");  // another CPU has its own
    CHECK(anon_vma_of(bench, other) != freed);
}

TEST_CASE("anon_vma: its line comes from the slab of the CPU that faulted", "[unit][rmap]") {
    KernelBench bench;
    Mm& first = bench.kernel.create_mm(bench.cpu(), "first");
    Mm& second = bench.kernel.create_mm(bench.cpu(), "second");
    bench.kernel.mmap_anon(bench.cpu(), first, bench.range(1));
    bench.kernel.mmap_anon(bench.cpu(), second, bench.range(1));
    REQUIRE(bench.kernel.touch(bench.cpu(1), first, bench.page(0), Access::kWrite));
    REQUIRE(bench.kernel.touch(bench.cpu(0), second, bench.page(0), Access::kWrite));
    // CPU 0 has made both mms and both VMAs before.
    CHECK(anon_vma_of(bench, first)->line - anon_vma_of(bench, second)->line ==
          (MemoryLayout{}.slab_lines - 2 * (Mm::kLines + 1)) * kLineSize);
}
