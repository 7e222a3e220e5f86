// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/ports/cpu.hpp"

namespace mmusim::rmap {

/// Opens an operation of the account, with its event. `pages` is what it is asked to do.
inline OperationId begin_operation(Cpu& cpu, OperationKind kind, std::uint64_t pages) {
    const OperationId id = cpu.account().begin(kind, cpu.now());
    cpu.emit(Event::kOperationBegin, {static_cast<std::uint64_t>(kind), pages});
    return id;
}

/// Closes it. `pages` is what it did.
inline void end_operation(Cpu& cpu, OperationId id, OperationKind kind, Outcome outcome,
                          std::uint64_t pages) {
    cpu.emit(id, Event::kOperationEnd, {static_cast<std::uint64_t>(kind), pages});
    cpu.account().end(id, cpu.now(), outcome, pages);
}

/// A system call as an operation of its own, from its entry to exit().
class Syscall {
public:
    Syscall(Cpu& cpu, OperationKind kind, std::uint64_t pages)
        : cpu_(cpu), kind_(kind), operation_(begin_operation(cpu, kind, pages)) {
        cpu.spend(cpu.costs().syscall_entry, Part::kSyscall);
    }
    Syscall(const Syscall&) = delete;
    Syscall& operator=(const Syscall&) = delete;

    /// Back to user mode. `pages` is what it did.
    void exit(std::uint64_t pages) {
        cpu_.spend(cpu_.costs().syscall_exit, Part::kSyscall);
        end_operation(cpu_, operation_, kind_, Outcome::kDone, pages);
    }

private:
    Cpu& cpu_;
    const OperationKind kind_;
    const OperationId operation_;
};

}  // namespace mmusim::rmap
