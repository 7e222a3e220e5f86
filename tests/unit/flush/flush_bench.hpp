// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "rmap/flush/x86_flush.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

namespace mmusim::test {

/// A machine with the x86 flush code and one address space; interrupts are served at once.
struct FlushBench {
    using Kind = rmap::TlbOperation::Kind;

    static constexpr rmap::MmId kMm = 2;
    static constexpr rmap::VirtAddr kAddress{0x100000000000};

    explicit FlushBench(unsigned cpus, rmap::X86FlushConfig config = {})
        : machine(cpus),
          calls(cpus, machine,
                config.fault == rmap::InjectedFault::kAckBeforeHandler
                    ? rmap::AckOrder::kBeforeFunction
                    : rmap::AckOrder::kAfterFunction),
          flush(with_cpus(config, cpus), machine, calls),
          mm(machine.make_context(kMm, {0x700})) {
        machine.deliver_to(calls);
    }

    rmap::Cpu& cpu(rmap::CpuId id) { return machine.cpu(id); }
    RecordingTrace& trace() { return machine.trace(); }

    /// These CPUs load the mm; what that leaves behind in the recordings is removed.
    void load(std::initializer_list<rmap::CpuId> cpus) {
        for (const auto id : cpus) flush.switch_mm(cpu(id), &mm);
        forget();
    }
    /// A kernel thread runs on the mm that this CPU has loaded.
    void make_lazy(rmap::CpuId id) {
        flush.enter_lazy_tlb(cpu(id));
        forget();
    }
    void forget() {
        trace().clear();
        machine.memory().accesses.clear();
        for (rmap::CpuId id = 0; id < machine.cpus(); ++id) {
            machine.tlb(id).operations.clear();
            machine.interrupts(id).sent.clear();
        }
    }

    static rmap::VirtRange range(std::uint64_t units, unsigned shift = rmap::kPageShift) {
        return {kAddress, kAddress + (units << shift)};
    }
    void flush_range(rmap::CpuId id, rmap::VirtRange r, unsigned shift = rmap::kPageShift) {
        flush.flush_tlb_mm_range(cpu(id), mm, r, shift, false);
    }
    std::uint64_t tlb_gen() { return machine.memory()[mm.tlb_gen].value; }
    /// As if other CPUs had flushed elsewhere in the meantime.
    void set_tlb_gen(std::uint64_t value) { machine.memory()[mm.tlb_gen] = {value, 0}; }

    std::vector<std::uint64_t> invlpg_addresses(rmap::CpuId id) const {
        std::vector<std::uint64_t> result;
        for (const auto& operation : machine.tlb(id).of_kind(Kind::kInvlpg))
            result.push_back(operation.address.value);
        return result;
    }
    std::size_t count(rmap::CpuId id, Kind kind) const {
        return machine.tlb(id).of_kind(kind).size();
    }
    /// The tlb_flush tracepoints of one CPU: "remote_shootdown 1".
    std::vector<std::string> tlb_flushes(rmap::CpuId id) const {
        std::vector<std::string> result;
        for (const auto& line : machine.trace().lines({"reason", "pages"}, id))
            if (line.rfind("tlb_flush ", 0) == 0) result.push_back(line.substr(10));
        return result;
    }

    /// The first access of this kind to the word; a default one if there is none.
    PlainWords::Access access(rmap::PhysAddr word, PlainWords::Access::Kind kind) {
        for (const auto& access : machine.memory().accesses)
            if (access.address == word && access.kind == kind) return access;
        return {};
    }
    /// The load of `read` begins when the write to `written` is visible to everybody, or later.
    bool ordered(rmap::PhysAddr written, rmap::PhysAddr read) {
        const auto write = access(written, PlainWords::Access::Kind::kReadModifyWrite);
        const auto load = access(read, PlainWords::Access::Kind::kLoad);
        return write.at != rmap::Instant{} && load.at >= write.at +
                                                             machine.plain_costs().visibility +
                                                             machine.plain_costs().memory_access;
    }

    PlainMachine machine;
    rmap::CallFunction calls;
    rmap::X86Flush flush;
    rmap::MmContext mm;

private:
    static rmap::X86FlushConfig with_cpus(rmap::X86FlushConfig config, unsigned cpus) {
        config.cpus = cpus;
        return config;
    }
};

}  // namespace mmusim::test
