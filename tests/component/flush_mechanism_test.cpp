// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "rmap/types/pte.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

using rmap::Part;
using rmap::Pte;
using rmap::TlbOperation;
using rmap::VirtAddr;

namespace {

constexpr VirtAddr kFirst{0x100000000000};
constexpr VirtAddr kSecond = kFirst + rmap::kPageSize;
constexpr rmap::Pcid kPcid = 3;

/// What every mechanism owes the kernel, tried on one core; returns the first broken promise.
std::string broken_promise(const std::string& mechanism) {
    auto config = test_platform(1, 2);
    config.flush_mechanism = mechanism;
    TestMachine machine(config);
    for (const auto page : {kFirst, kSecond})
        machine.map(page, rmap::FrameNumber{500 + (page.value >> 12) % 2},
                    Pte::kWritable | Pte::kAccessed | Pte::kDirty);
    std::string broken;
    const auto demand = [&](bool kept, const char* promise) {
        if (!kept && broken.empty()) broken = promise;
    };
    machine.program(0, [&](models::CoreModule& core) {
        auto& port = machine->mechanism(0);
        const auto execute = [&](TlbOperation::Kind kind, VirtAddr address = {}) {
            const auto begin = core.time().local_now();
            port.execute({kind, kPcid, address, machine.root()}, Part::kFlushLocal);
            demand(core.time().local_now() > begin, "an invalidation takes time");
        };
        const auto walks = [&](VirtAddr address) {
            const auto before = machine->mmu(0).walker.stats().walks;
            core.access(address, rmap::Access::kRead, rmap::nanoseconds(1));
            return machine->mmu(0).walker.stats().walks > before;
        };
        execute(TlbOperation::Kind::kCr3Write);
        walks(kFirst), walks(kSecond);
        demand(!walks(kFirst), "a translation stays until it is invalidated");
        execute(TlbOperation::Kind::kInvlpg, kFirst);
        demand(!walks(kSecond), "one page's invalidation leaves the others alone");
        demand(walks(kFirst), "an invalidated page is walked for again");
        execute(TlbOperation::Kind::kCr3WriteNoFlush);
        demand(!walks(kFirst), "a switch without a flush keeps everything");
        execute(TlbOperation::Kind::kCr3Write);
        demand(walks(kFirst) && walks(kSecond), "a flush of the context drops all of it");
        execute(TlbOperation::Kind::kAll);
        demand(walks(kFirst) && walks(kSecond), "a flush of everything drops all of it");
    });
    bool interrupted = false;
    machine.handler(1,
                    [&](models::CoreModule&, const rmap::TakenInterrupt&) { interrupted = true; });
    machine.program(1, [&](models::CoreModule& core) {
        rmap::CpuMask self;
        self.set(1);
        machine->mechanism(core.id()).send_ipi(self, 251, Part::kIpiSend);
    });
    machine.run();
    demand(interrupted, "an interrupt reaches its target");
    return broken;
}

}  // namespace

TEST_CASE("flush mechanisms: every row keeps the promises of the port", "[component][flush]") {
    for (const auto& row : models::flush_mechanisms()) {
        CAPTURE(row.name);
        CHECK(models::find_flush_mechanism(row.name) == &row);
        CHECK(run_in_child([&] { return broken_promise(std::string(row.name)); }) == "");
    }
    CHECK(models::find_flush_mechanism("ipo") == nullptr);
}

}  // namespace mmusim::test
