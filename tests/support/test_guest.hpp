// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/guest_port.hpp"
#include "rmap/types/pte.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

using GuestFrame = std::uint64_t;  ///< guest-physical address >> 12

/// A guest of a TestMachine with 4 MiB of memory: its page tables lie in the lower half, data in
/// the upper one. Guest frame g is backed by frame 1024 * vm + g unless a test says otherwise;
/// tables of the second stage begin at frame 256 + 64 * vm. Everything is written before the run.
class TestGuest {
public:
    static constexpr std::uint64_t kUsed = rmap::EptEntry::kAccessed | rmap::EptEntry::kDirty;
    static constexpr std::uint64_t kMapped =
        rmap::Pte::kWritable | rmap::Pte::kAccessed | rmap::Pte::kDirty;
    static constexpr GuestFrame kTables = 16;  ///< the guest's root; its other tables follow
    static constexpr GuestFrame kData = 512;
    static constexpr unsigned kSmall = 1;  ///< levels of leaves
    static constexpr unsigned kLarge = 2;

    /// Guests 1 to 3. Nothing is backed and nothing mapped.
    TestGuest(TestMachine& machine, rmap::VmId vm) : machine_(machine), vm_(vm) {}

    /// Maps a guest frame, or the 2 MiB page around it, to its place in the host.
    void back(GuestFrame frame, unsigned level = kSmall, std::uint64_t flags = kUsed,
              rmap::Generation generation = 0);
    /// Everything, with leaves of one size.
    void back_all(unsigned level);
    /// Maps a page of the guest's own address space.
    void map(rmap::VirtAddr address, GuestFrame frame, std::uint64_t flags = kMapped,
             unsigned level = kSmall);

    rmap::FrameNumber host_frame(GuestFrame frame) const { return {1024ull * vm_ + frame}; }
    /// The leaf that back() makes of a guest frame.
    rmap::EptEntry leaf(GuestFrame frame, std::uint64_t flags = kUsed) const {
        return rmap::EptEntry::leaf(host_frame(frame), true).with(flags);
    }
    /// Where the second stage's leaf of a guest frame is, in simulated memory.
    rmap::PhysAddr second_entry(GuestFrame frame, unsigned level = kSmall) const;
    /// Where the guest's own entry of an address is: in its memory and in the host's.
    rmap::GuestPhysAddr entry(rmap::VirtAddr address, unsigned level = kSmall) const;
    rmap::PhysAddr host_entry(rmap::VirtAddr address, unsigned level = kSmall) const;

    rmap::VmId vm() const { return vm_; }
    rmap::GuestContext context(rmap::Pcid pcid = 1) const {
        return {vm_, second_root(), {kTables * rmap::kPageSize + pcid}};
    }

private:
    rmap::PhysAddr second_root() const { return rmap::PhysAddr{(256ull + 64 * vm_) << 12}; }
    rmap::PhysAddr host_of(rmap::GuestPhysAddr address) const {
        return rmap::address_of(host_frame(address.value >> 12)) + address.value % rmap::kPageSize;
    }

    TestMachine& machine_;
    const rmap::VmId vm_;
    std::uint64_t second_tables_ = 1;  ///< taken so far
    std::uint64_t guest_tables_ = 1;
};

}  // namespace mmusim::test
