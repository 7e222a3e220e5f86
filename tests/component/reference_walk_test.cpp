// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <deque>
#include <string>

#include "tests/support/child_run.hpp"
#include "tests/support/random_tables.hpp"
#include "tests/support/test_machine.hpp"
#include "tests/support/test_size.hpp"
#include "tests/support/tlb_configs.hpp"
#include "tests/support/walker_configs.hpp"

// The random accesses of the plain reference walk through a core, its MMU and simulated memory.

namespace mmusim::test {

using models::CoreModule;
using models::GuestAccess;
using rmap::Access;
using rmap::Fault;
using rmap::nanoseconds;
using rmap::Part;
using rmap::TlbOperation;
using rmap::VirtAddr;

namespace {

using Random = RandomTables::Random;
using Kind = TlbOperation::Kind;

bool one_in(Random& random, unsigned n) { return random() % n == 0; }

models::WalkerConfig walker_config(const FormatPair& formats, bool combined) {
    models::WalkerConfig config;
    config.start = nanoseconds(4);
    config.level = nanoseconds(5);
    config.first.format = rmap::find_page_table_format(formats.first);
    config.second.format = rmap::find_page_table_format(formats.second);
    for (auto* stage : {&config.first, &config.second})
        for (unsigned level = 2; level <= stage->format->levels; ++level)
            stage->caches.push_back({{}, level, {4, 2, {}, {}}, nanoseconds(1)});
    config.second_tlb = tlb_of({{"all", {0, 4, 9}, {12, 4, {}, {}}}}, nanoseconds(2));
    config.nested = combined ? models::NestedCaching::kCombined : models::NestedCaching::kPerStage;
    return config;
}

platform::PlatformConfig machine_config(const FormatPair& formats, bool combined) {
    auto config = test_platform(1, 1);
    config.topology.frames_per_node = 1 << 20;
    config.mmu.walker = walker_config(formats, combined);
    return config;
}

/// Compares the frames of accesses that were done with those expected, later.
class Frames final : public models::AccessObserver {
public:
    void expect(std::uint64_t address) { expected_.push_back(address >> rmap::kPageShift); }
    void judge(rmap::ActorId, const models::AccessBatch& uses) override {
        uses.for_each([this](const models::AccessRecord& use) {
            if (use.frame.value != expected_.front()) ++wrong;
            expected_.pop_front();
            ++judged;
        });
    }
    unsigned wrong = 0;
    unsigned judged = 0;

private:
    std::deque<std::uint64_t> expected_;
};

/// A core that uses and changes the tables of one owner.
class Traffic {
public:
    Traffic(CoreModule& core, RandomTables& tables, Frames& frames, std::uint64_t seed)
        : core_(core), tables_(tables), frames_(frames), random_(seed) {}

    void run(unsigned accesses) {
        for (unsigned n = 0; n < accesses; ++n) {
            if (one_in(random_, 8))
                if (const auto what = tables_.change(random_)) flush(*what);
            const auto use = tables_.draw_use(random_);
            const auto expected = tables_.expect(use);
            if (expected.fault == Fault::kNone) frames_.expect(expected.address);
            tables_.vm() == 0 ? access_host(use, expected.fault)
                              : access_guest(use, expected.fault);
        }
    }
    unsigned wrong = 0;

private:
    static constexpr rmap::Duration kCost = nanoseconds(1);
    rmap::Pcid pcid_of(unsigned space) const { return static_cast<rmap::Pcid>(space + 1); }

    void enter(unsigned space) {
        core_.maintain({Kind::kCr3WriteNoFlush, pcid_of(space), {}, tables_.root(space)}, kCost,
                       Part::kSwitch);
    }
    void access_host(const RandomTables::Use& use, Fault expected) {
        enter(use.space);
        const Fault fault = core_.access(VirtAddr{use.address}, use.access, kCost);
        if (fault != expected) ++wrong;
        if (fault != Fault::kNone) tables_.handle(random_, use, fault, {});
    }
    void access_guest(const RandomTables::Use& use, Fault expected) {
        using Outcome = GuestAccess::Outcome;
        const rmap::GuestContext context{tables_.vm(),
                                         tables_.second_root(),
                                         {tables_.root(use.space).value + pcid_of(use.space)}};
        GuestAccess result;
        {
            const rmap::InterruptsOff off(core_.time());
            core_.vm_entry(context, kCost);
            result = core_.access_guest(VirtAddr{use.address}, use.access, kCost);
            core_.vm_exit(kCost);
        }
        const auto wanted = expected == Fault::kNone          ? Outcome::kDone
                            : expected == Fault::kSecondStage ? Outcome::kViolation
                                                              : Outcome::kPageFault;
        if (result.outcome != wanted) ++wrong;
        if (wanted != Outcome::kDone) tables_.handle(random_, use, expected, result.violation);
    }

    void flush(const RandomTables::Flush& what) {
        TlbOperation operation;
        operation.address = VirtAddr{what.address};
        if (tables_.vm() != 0) {
            operation.kind = Kind::kInvept;
            operation.vm = tables_.vm();
        } else if (what.exactly_a_page && (what.global || one_in(random_, 2))) {
            enter(what.space);
            operation.kind = Kind::kInvlpg;
        } else if (what.exactly_a_page) {
            operation.kind = Kind::kInvpcidAddress;
            operation.pcid = pcid_of(what.space);
        } else if (what.global) {
            operation.kind = Kind::kAll;
        } else {
            operation.kind = Kind::kCr3Write;
            operation.pcid = pcid_of(what.space);
            operation.root = tables_.root(what.space);
        }
        core_.maintain(operation, kCost, Part::kFlushLocal);
    }

    CoreModule& core_;
    RandomTables& tables_;
    Frames& frames_;
    Random random_;
};

std::string run_machine(const FormatPair& formats, rmap::VmId vm, bool combined,
                        unsigned accesses) {
    const auto config = machine_config(formats, combined);
    Frames frames;
    TestMachine machine(config, &frames);
    unsigned wrong = 0;
    machine.program(0, [&](CoreModule& core) {
        std::uint64_t next = 64;
        const auto allocate = [&next](unsigned order) {
            const std::uint64_t size = std::uint64_t{1} << order;
            const std::uint64_t first = (next + size - 1) / size * size;
            next = first + size;
            return rmap::FrameNumber{first};
        };
        RandomTables tables({vm, 3, config.mmu.walker.first, config.mmu.walker.second,
                             config.mmu.walker.second.format->page_orders().front()},
                            core, allocate);
        Traffic traffic(core, tables, frames, 17);
        traffic.run(accesses);
        wrong = traffic.wrong;
    });
    machine.run();
    const auto& walks = machine->mmu(0).walker.stats();
    if (frames.judged < accesses / 3) return "few accesses were done";
    if (walks.walks > accesses * 9 / 10) return "few hits";
    if (walks.first.cache_hits[2] == 0) return "no hit in a walk cache";
    return std::to_string(wrong) + " wrong outcomes, " + std::to_string(frames.wrong) +
           " wrong frames";
}

}  // namespace

TEST_CASE("reference walk: a core's accesses are what the tables say", "[component][mmu]") {
    const unsigned accesses = test_size(5'000, 2'000);
    for (const auto& formats : kFormatPairs)
        for (const rmap::VmId vm : {0, 2})
            for (const bool combined : {true, false}) {
                if (vm == 0 && !combined) continue;
                // Of tables in pieces combined caches keep nothing.
                if (!formats.tables_in_one_piece && combined) continue;
                CAPTURE(formats.first, vm, combined);
                CHECK(run_in_child([&] { return run_machine(formats, vm, combined, accesses); }) ==
                      "0 wrong outcomes, 0 wrong frames");
            }
}

}  // namespace mmusim::test
