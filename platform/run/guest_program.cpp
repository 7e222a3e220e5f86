// SPDX-License-Identifier: Apache-2.0
#include "platform/run/guest_program.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::platform {

using models::GuestAccess;
using rmap::GuestExit;

GuestExit GuestProgram::enter_guest(const rmap::GuestContext& context) {
    core_.vm_entry(context, costs_.vm_entry);
    const GuestExit exit = run();
    core_.vm_exit(costs_.vm_exit);
    return exit;
}

GuestExit GuestProgram::run() {
    GuestExit exit;
    for (;;) {
        if (!pending_) {
            const auto next = is_over() ? AccessPlan::Next::kFinished : plan_.next(core_);
            if (next == AccessPlan::Next::kFinished) return exit;
            if (next == AccessPlan::Next::kAccess) {
                pending_ = plan_.access();
            } else {
                // Polling is a loop of guest instructions, which interrupts of the host may end.
                core_.time().advance(Rendezvous::kPoll, rmap::Part::kGuest);
                exit.reason = GuestExit::Reason::kExternalInterrupt;
                if (core_.time().interrupt_arrived()) return exit;
                exit.reason = GuestExit::Reason::kHalt;
                continue;
            }
        }
        const auto done =
            core_.access_guest(pending_->address, pending_->kind, behaviour_.access_time);
        switch (done.outcome) {
            case GuestAccess::Outcome::kDone:
                pending_.reset();
                break;
            case GuestAccess::Outcome::kInterrupt:
                exit.reason = GuestExit::Reason::kExternalInterrupt;
                return exit;
            case GuestAccess::Outcome::kViolation:
                exit.reason = GuestExit::Reason::kEptViolation;
                exit.address = done.violation.address;
                exit.access = done.violation.access;
                return exit;
            case GuestAccess::Outcome::kPageFault:
                MMUSIM_CHECK(false, "a guest has mapped what it accesses");
        }
    }
}

}  // namespace mmusim::platform
