// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "notifiers/clients/kvm/kvm.hpp"
#include "notifiers/clients/kvm/kvm_client.hpp"
#include "rmap/smp/call_function.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

namespace mmusim::test {

using Lines = std::vector<std::string>;

/// Lines of a plain machine, and whole frames.
class FrameSource final : public rmap::FrameAllocator {
public:
    static constexpr rmap::FrameNumber kFirst{0x500};

    explicit FrameSource(PlainMachine& machine) : machine_(machine) {}
    rmap::PhysAddr allocate_line() override { return machine_.allocate_line(); }
    rmap::FrameNumber allocate_frame() override { return {kFirst + used_++}; }

private:
    PlainMachine& machine_;
    std::uint64_t used_ = 0;
};

/// The process behind a VM: its pages by address, and what was said about them.
class FakeUsers final : public rmap::UserPagePort {
public:
    static constexpr rmap::Duration kCost = rmap::nanoseconds(37);

    std::optional<rmap::UserPage> get_user_page(rmap::Cpu& cpu, rmap::MmId mm,
                                                rmap::VirtAddr address,
                                                rmap::Access access) override;
    void put_page(rmap::Cpu& cpu, rmap::FrameNumber frame) override {
        if (during_put) during_put();
        say(cpu, "put", frame);
    }
    void mark_page_accessed(rmap::Cpu& cpu, rmap::FrameNumber frame) override {
        say(cpu, "accessed", frame);
    }
    void set_page_dirty_flag(rmap::Cpu& cpu, rmap::FrameNumber frame) override {
        say(cpu, "dirty", frame);
    }

    std::map<rmap::VirtAddr, rmap::UserPage> pages;
    std::function<void()> during_get;  ///< while the page is being looked up
    std::function<void()> during_put;  ///< while a reference is being dropped
    Lines diary;

private:
    void say(rmap::Cpu& cpu, const std::string& what, rmap::FrameNumber frame);
};

/// A guest that does what the test has written down and then halts.
class FakeGuest final : public rmap::GuestPort {
public:
    static constexpr rmap::Duration kCost = rmap::nanoseconds(1009);

    explicit FakeGuest(PlainTime& time) : time_(time) {}
    rmap::GuestExit enter_guest(const rmap::GuestContext& context) override;

    std::deque<std::function<rmap::GuestExit()>> steps;
    std::vector<rmap::GuestContext> entries;

private:
    PlainTime& time_;
};

inline rmap::GuestExit violation(rmap::GuestPhysAddr address, rmap::Access access) {
    return {rmap::GuestExit::Reason::kEptViolation, address, access};
}
inline rmap::GuestExit external_interrupt() {
    return {rmap::GuestExit::Reason::kExternalInterrupt, {}, {}};
}

/// Hands calls on and remembers to whom.
class RecordingCalls final : public rmap::CallFunctionPort {
public:
    explicit RecordingCalls(rmap::CallFunctionPort& calls) : calls_(calls) {}
    unsigned call_many(rmap::Cpu& cpu, const rmap::CpuMask& targets, const Function& function,
                       const rmap::CallParts& parts) override {
        masks.push_back(targets.word(0));
        return calls_.call_many(cpu, targets, function, parts);
    }

    std::vector<std::uint64_t> masks;

private:
    rmap::CallFunctionPort& calls_;
};

/// A VM with 1024 pages of user memory and 16 fixed ones, over plain ports. CPU 0 runs the
/// notifiers; vCPU n runs on CPU n + 1, and the last CPU is for the set-up. Interrupts are served
/// at once.
struct KvmBench {
    static constexpr rmap::MmId kMm = 7;
    static constexpr rmap::VmId kVm = 3;
    static constexpr std::uint64_t kClient = 5;
    static constexpr rmap::GuestPhysAddr kGpa{0x40000000};
    static constexpr rmap::VirtAddr kHva{0x7f0000010000};
    static constexpr std::uint64_t kPages = 1024;
    static constexpr rmap::GuestPhysAddr kFixedGpa{0x1000};
    static constexpr rmap::FrameNumber kFixedFrame{0x9003};
    static constexpr rmap::FrameNumber kPfn{0x20000};  ///< of the process's first page
    static constexpr rmap::Generation kGeneration = 11;
    static constexpr rmap::GuestPhysAddr kCr3{0x3000};

    explicit KvmBench(unsigned vcpus = 1, rmap::InjectedFault fault = rmap::InjectedFault::kNone);

    rmap::Cpu& cpu(rmap::CpuId id = 0) { return machine.cpu(id); }
    rmap::PhysMemPort& setup_memory() { return cpu(machine.cpus() - 1).memory(); }
    RecordingTrace& trace() { return machine.trace(); }
    notifiers::KvmVcpu& vcpu(unsigned id = 0) { return kvm.vcpus.at(id); }
    rmap::Duration charged(rmap::Part part, rmap::CpuId id = 0) {
        return machine.time(id).charged()[part];
    }

    static rmap::GuestPhysAddr gpa(std::uint64_t page) { return kGpa + page * rmap::kPageSize; }
    static rmap::VirtAddr hva(std::uint64_t page) { return kHva + page * rmap::kPageSize; }
    static rmap::VirtRange range(std::uint64_t first, std::uint64_t pages) {
        return {hva(first), hva(first + pages)};
    }

    /// The entry of a page of the VM, as memory holds it.
    rmap::EptEntry spte(rmap::GuestPhysAddr address) {
        return rmap::EptEntry{machine.memory()[kvm.table.leaf(address).entry].value};
    }
    /// What the walker does: sets bits in the entry of a user page.
    void walker_sets(std::uint64_t page, std::uint64_t bits) {
        machine.memory()[kvm.table.leaf(gpa(page)).entry].value |= bits;
    }
    /// Maps a user page, writable, neither accessed nor dirty.
    void map(std::uint64_t page);

    void set_mode(unsigned id, notifiers::VcpuMode mode) {
        machine.memory()[vcpu(id).mode()].value = static_cast<std::uint64_t>(mode);
    }
    notifiers::VcpuMode mode(unsigned id = 0) {
        return static_cast<notifiers::VcpuMode>(machine.memory()[vcpu(id).mode()].value);
    }
    std::uint64_t requests(unsigned id = 0) { return machine.memory()[vcpu(id).requests()].value; }
    std::uint64_t word(rmap::PhysAddr address) { return machine.memory()[address].value; }

    void start(rmap::VirtRange where = range(0, 1)) {
        client.invalidate_range_start(cpu(), {kMm, where, true});
    }
    void end(rmap::VirtRange where = range(0, 1)) {
        client.invalidate_range_end(cpu(), {kMm, where, true});
    }
    /// Accesses of one CPU to a word, in order: "rmw" or "load".
    Lines accesses(rmap::ActorId actor, std::initializer_list<rmap::PhysAddr> words);

    PlainMachine machine;
    FrameSource frames;
    rmap::CallFunction call_function;
    RecordingCalls calls;
    FakeUsers users;
    notifiers::Kvm kvm;
    notifiers::KvmClient client;
};

}  // namespace mmusim::test
