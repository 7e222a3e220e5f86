// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>

#include "rmap/types/pte.hpp"
#include "tests/support/print_types.hpp"
#include "tests/support/test_machine.hpp"

/// What the programs of cores do whose MMU is tested.
namespace mmusim::test {

inline constexpr rmap::VirtAddr kPage{0x100000000000};
inline constexpr std::uint64_t kMapped =
    rmap::Pte::kWritable | rmap::Pte::kAccessed | rmap::Pte::kDirty;
inline constexpr rmap::Duration kAccess = rmap::nanoseconds(1);

/// Returns the time that it took.
inline rmap::Duration access(models::CoreModule& core, rmap::VirtAddr address,
                             rmap::Access kind = rmap::Access::kRead,
                             rmap::Fault expected = rmap::Fault::kNone,
                             models::CoreModule::Ask ask = models::CoreModule::Ask::kUntilHit) {
    const auto begin = core.time().local_now();
    CHECK(core.access(address, kind, kAccess, ask) == expected);
    return core.time().local_now() - begin;
}

inline void enter(models::CoreModule& core, const TestMachine& machine, rmap::Pcid pcid = 1) {
    rmap::TlbOperation op;
    op.kind = rmap::TlbOperation::Kind::kCr3Write;
    op.root = machine.root();
    op.pcid = pcid;
    core.maintain(op, rmap::nanoseconds(1), rmap::Part::kSwitch);
}

inline void invalidate(models::CoreModule& core, rmap::TlbOperation::Kind kind,
                       rmap::VirtAddr address = {}, rmap::Pcid pcid = 1, rmap::PhysAddr root = {}) {
    core.maintain({kind, pcid, address, root}, rmap::nanoseconds(1), rmap::Part::kFlushLocal);
}

}  // namespace mmusim::test
