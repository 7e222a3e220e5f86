// SPDX-License-Identifier: Apache-2.0
#include "platform/run/guest_program.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::platform {

using models::GuestAccess;
using rmap::GuestExit;

namespace {

constexpr rmap::Duration kPollStep = rmap::nanoseconds(10);  ///< one round of a polling loop
constexpr unsigned kTriesPerLook = 64;  ///< of one access, before it looks whether all is over

}  // namespace

GuestExit GuestProgram::enter_guest(const rmap::GuestContext& context) {
    core_.vm_entry(context, costs_.vm_entry);
    const GuestExit exit = run();
    core_.vm_exit(costs_.vm_exit);
    return exit;
}

/// A loop of guest instructions; false if an interrupt of the host has ended it.
bool GuestProgram::poll() {
    for (rmap::Duration waited; waited < Rendezvous::kPoll; waited += kPollStep) {
        if (core_.time().interrupt_arrived()) return false;
        core_.time().advance(kPollStep, rmap::Part::kGuest);
    }
    return true;
}

GuestExit GuestProgram::run() {
    GuestExit exit;
    for (;;) {
        // After a start that a client refused, KVM may keep the page from the guest for good.
        if (pending_ && ++tries_ % kTriesPerLook == 0 && plan_.is_pointless(core_)) return exit;
        if (!pending_) {
            const auto next = is_over() ? AccessPlan::Next::kFinished : plan_.next(core_);
            if (next == AccessPlan::Next::kFinished) return exit;
            if (next == AccessPlan::Next::kAccess) {
                pending_ = plan_.access();
                tries_ = 0;
            } else {
                if (poll()) continue;
                exit.reason = GuestExit::Reason::kExternalInterrupt;
                return exit;
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
