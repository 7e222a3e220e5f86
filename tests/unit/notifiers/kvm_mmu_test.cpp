// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/kvm/kvm_mmu.hpp"

#include <catch2/catch.hpp>

#include "rmap/types/check.hpp"
#include "tests/unit/notifiers/kvm_bench.hpp"

using namespace mmusim::rmap;
using namespace mmusim::notifiers;
using mmusim::test::KvmBench;
using mmusim::test::Lines;

TEST_CASE("kvm mmu: a range is removed page by page and nothing else", "[unit][notifiers]") {
    KvmBench bench;
    for (std::uint64_t page = 0; page < 4; ++page) bench.map(page);
    CHECK(kvm_unmap_hva_range(bench.cpu(), bench.kvm, bench.range(1, 2)) == NeedFlush::kYes);
    CHECK(bench.spte(bench.gpa(0)).present());
    CHECK_FALSE(bench.spte(bench.gpa(1)).present());
    CHECK_FALSE(bench.spte(bench.gpa(2)).present());
    CHECK(bench.spte(bench.gpa(3)).present());
    CHECK(bench.trace().lines({"client", "mm", "addr", "pfn", "generation"}) ==
          Lines{"spte_clear client=5 mm=7 addr=0x7f0000011000 pfn=0x20001 generation=11",
                "spte_clear client=5 mm=7 addr=0x7f0000012000 pfn=0x20002 generation=11"});
}

TEST_CASE("kvm mmu: a range without entries needs no flush and writes nothing",
          "[unit][notifiers]") {
    KvmBench bench;
    const PhysAddr entry = bench.kvm.table.leaf(bench.gpa(1)).entry;
    CHECK(kvm_unmap_hva_range(bench.cpu(), bench.kvm, bench.range(1, 2)) == NeedFlush::kNo);
    CHECK(bench.accesses(0, {entry}) == Lines{"load 0"});
    CHECK(bench.trace().records().empty());
}

TEST_CASE("kvm mmu: each page of the range that the VM has costs its share", "[unit][notifiers]") {
    KvmBench bench;
    bench.map(3);
    // Two pages of the slot, one of them mapped; the rest of the range is not the VM's.
    const VirtRange range{bench.hva(KvmBench::kPages - 2), bench.hva(KvmBench::kPages + 50)};
    const Duration access = bench.machine.plain_costs().memory_access;
    kvm_unmap_hva_range(bench.cpu(), bench.kvm, range);
    CHECK(bench.charged(Part::kSecondStage) == (bench.machine.costs().kvm_unmap_page + access) * 2);
    kvm_unmap_hva_range(bench.cpu(), bench.kvm, bench.range(3, 1));
    CHECK(bench.charged(Part::kSecondStage) ==
          bench.machine.costs().kvm_unmap_page * 3 + access * 4);
}

TEST_CASE("kvm mmu: the ends of a range cut whole pages out of a slot", "[unit][notifiers]") {
    const Memslot slot{KvmBench::kGpa, 4, KvmBench::kHva};
    const auto part = [&](std::uint64_t start, std::uint64_t end) {
        return slot.backed_by({KvmBench::kHva + start, KvmBench::kHva + end});
    };
    CHECK(part(0, 4 * kPageSize).pages == 4);
    CHECK(part(kPageSize, 2 * kPageSize).first == KvmBench::gpa(1));
    CHECK(part(kPageSize, 2 * kPageSize).pages == 1);
    CHECK(part(kPageSize + 8, kPageSize + 16).pages == 1);
    CHECK(part(kPageSize, 2 * kPageSize + 1).pages == 2);
    CHECK(part(4 * kPageSize, 9 * kPageSize).pages == 0);
    CHECK(slot.backed_by({{0}, KvmBench::kHva}).pages == 0);
    CHECK(slot.backed_by(kAllAddresses).pages == 4);
    CHECK(Memslot{KvmBench::kGpa, 4, {}}.backed_by(kAllAddresses).pages == 0);
}

TEST_CASE("kvm mmu: memory that a VM sees twice is removed in both places", "[unit][notifiers]") {
    KvmBench bench;
    const GuestPhysAddr alias{0x80000000};
    bench.kvm.add_user_slot(bench.setup_memory(), alias, bench.range(1, 1));
    bench.map(1);
    mmu_set_spte(bench.cpu(), bench.kvm, alias, {KvmBench::kPfn + 1, 1, true});
    kvm_unmap_hva_range(bench.cpu(), bench.kvm, bench.range(1, 1));
    CHECK_FALSE(bench.spte(bench.gpa(1)).present());
    CHECK_FALSE(bench.spte(alias).present());
}

TEST_CASE("kvm mmu: the page learns the bits of an entry that is removed", "[unit][notifiers]") {
    KvmBench bench;
    for (std::uint64_t page = 0; page < 3; ++page) bench.map(page);
    bench.walker_sets(1, EptEntry::kAccessed);
    bench.walker_sets(2, EptEntry::kAccessed | EptEntry::kDirty);
    kvm_unmap_hva_range(bench.cpu(), bench.kvm, bench.range(0, 3));
    CHECK(bench.users.diary ==
          Lines{"accessed 0x20001 cpu0", "accessed 0x20002 cpu0", "dirty 0x20002 cpu0"});
}

TEST_CASE("kvm mmu: aging clears the accessed bit and leaves the rest", "[unit][notifiers]") {
    KvmBench bench;
    bench.map(0);
    bench.map(1);
    bench.walker_sets(1, EptEntry::kAccessed | EptEntry::kDirty);
    const EptEntry before = bench.spte(bench.gpa(1));
    CHECK_FALSE(kvm_age_hva(bench.cpu(), bench.kvm, bench.range(0, 1)));
    CHECK(bench.trace().records().empty());
    CHECK(kvm_age_hva(bench.cpu(), bench.kvm, bench.range(0, 2)));
    CHECK(bench.spte(bench.gpa(1)) == before.without(EptEntry::kAccessed));
    CHECK(bench.machine.memory()[bench.kvm.table.leaf(bench.gpa(1)).entry].generation ==
          KvmBench::kGeneration);
    CHECK(bench.trace().lines({"client", "mm", "addr"}) ==
          Lines{"spte_age client=5 mm=7 addr=0x7f0000011000"});
    CHECK(bench.trace().first(Event::kSpteAge).arguments[3] == before.raw());
    CHECK_FALSE(kvm_age_hva(bench.cpu(), bench.kvm, bench.range(0, 2)));
    CHECK(bench.users.diary.empty());
}

TEST_CASE("kvm mmu: a new entry is accessed and as dirty as it can become", "[unit][notifiers]") {
    KvmBench bench;
    const UserPage writable{{0x33}, 8, true};
    const UserPage read_only{{0x34}, 9, false};
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0) + 0x10, writable);
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(1), read_only);
    CHECK(bench.spte(bench.gpa(0)) ==
          EptEntry::leaf({0x33}, true).with(EptEntry::kAccessed | EptEntry::kDirty));
    CHECK(bench.spte(bench.gpa(1)) == EptEntry::leaf({0x34}, false).with(EptEntry::kAccessed));
    CHECK(bench.machine.memory()[bench.kvm.table.leaf(bench.gpa(1)).entry].generation == 9);
    CHECK(bench.trace().lines({"client", "mm", "addr", "pfn", "generation"}) ==
          Lines{"spte_set client=5 mm=7 addr=0x7f0000010000 pfn=0x33 generation=8",
                "spte_set client=5 mm=7 addr=0x7f0000011000 pfn=0x34 generation=9"});
}

TEST_CASE("kvm mmu: an entry that gains permission needs no flush", "[unit][notifiers]") {
    KvmBench bench;
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0), {{0x33}, 8, false});
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0), {{0x33}, 8, true});
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0), {{0x33}, 8, true});
    CHECK(bench.spte(bench.gpa(0)).writable());
    CHECK(bench.trace().names() == Lines{"spte_set", "spte_set", "spte_set"});
    CHECK(bench.users.diary == Lines(3, "put 0x33 cpu0"));
}

TEST_CASE("kvm mmu: an entry that loses permission is flushed and its dirty bit kept",
          "[unit][notifiers]") {
    // Two vCPUs fault on one page; the one that only reads has looked before the other has made it
    // writable, and comes last.
    KvmBench bench;
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0), {{0x33}, 8, true});
    CHECK(bench.trace().count(Event::kKvmFlushRemoteTlbs) == 0);
    bench.users.diary.clear();
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0), {{0x33}, 8, false});
    CHECK(bench.trace().count(Event::kKvmFlushRemoteTlbs) == 1);
    CHECK(bench.users.diary == Lines{"dirty 0x33 cpu0", "put 0x33 cpu0"});
    CHECK_FALSE(bench.spte(bench.gpa(0)).writable());
}

TEST_CASE("kvm mmu: an entry for another page is empty in between", "[unit][notifiers]") {
    KvmBench bench;
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0), {{0x33}, 8, true});
    bench.trace().clear();
    bench.users.diary.clear();
    EptEntry when_cleared = bench.spte(bench.gpa(0));
    Lines before_set;
    bench.trace().at_next(Event::kSpteClear, 0, [&] {
        when_cleared = bench.spte(bench.gpa(0));
        bench.trace().at_next(Event::kSpteSet, 0, [&] { before_set = bench.users.diary; });
    });
    mmu_set_spte(bench.cpu(), bench.kvm, bench.gpa(0), {{0x44}, 2, true});
    CHECK(bench.trace().lines({"addr", "pfn", "generation"}) ==
          Lines{"spte_clear addr=0x7f0000010000 pfn=0x33 generation=8",
                "spte_set addr=0x7f0000010000 pfn=0x44 generation=2", "kvm_flush_remote_tlbs",
                "kvm_make_request", "kvm_flush_remote_tlbs_ret"});
    CHECK(when_cleared == EptEntry{});
    CHECK(before_set == Lines{"accessed 0x33 cpu0", "dirty 0x33 cpu0"});
}

TEST_CASE("kvm mmu: zapping everything takes the fixed memory as well", "[unit][notifiers]") {
    KvmBench bench;
    const GuestPhysAddr large{1ull << 32};
    bench.kvm.add_fixed_slot(bench.setup_memory(), large, {512}, 512);
    bench.map(1);
    REQUIRE(bench.spte(KvmBench::kFixedGpa).present());
    REQUIRE(bench.spte(large).large());
    CHECK(kvm_mmu_zap_all(bench.cpu(), bench.kvm) == NeedFlush::kYes);
    CHECK_FALSE(bench.spte(KvmBench::kFixedGpa).present());
    CHECK_FALSE(bench.spte(large).present());
    CHECK_FALSE(bench.spte(bench.gpa(1)).present());
    // Events are about the process's memory.
    CHECK(bench.trace().names() == Lines{"spte_clear"});
    CHECK(kvm_mmu_zap_all(bench.cpu(), bench.kvm) == NeedFlush::kNo);
}

TEST_CASE("kvm: slots hold whole pages and do not overlap", "[unit][notifiers]") {
    KvmBench bench;
    PhysMemPort& memory = bench.setup_memory();
    CHECK_THROWS_AS(bench.kvm.add_user_slot(memory, bench.gpa(1023), bench.range(0, 1)),
                    InvariantError);
    CHECK_THROWS_AS(bench.kvm.add_user_slot(memory, bench.gpa(2000) + 8, bench.range(0, 1)),
                    InvariantError);
    CHECK_THROWS_AS(
        bench.kvm.add_user_slot(memory, bench.gpa(2000), {bench.hva(0) + 8, bench.hva(1)}),
        InvariantError);
    CHECK_THROWS_AS(bench.kvm.add_fixed_slot(memory, KvmBench::kFixedGpa, {1}, 1), InvariantError);
    CHECK_NOTHROW(bench.kvm.add_user_slot(memory, bench.gpa(1024), bench.range(0, 1)));
    CHECK_THROWS_AS(bench.kvm.slot_of(bench.gpa(1025)), InvariantError);
    CHECK(bench.kvm.slot_of(bench.gpa(1024)).first == bench.gpa(1024));
}
