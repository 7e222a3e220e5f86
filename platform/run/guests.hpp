// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "notifiers/clients/kvm/guest_page_tables.hpp"
#include "notifiers/clients/kvm/kvm.hpp"
#include "notifiers/clients/kvm/kvm_client.hpp"
#include "platform/run/guest_program.hpp"
#include "platform/run/setup_context.hpp"

namespace mmusim::platform {

/// The virtual machines of a scenario: second-stage tables, the guests' own page tables, and what
/// their vCPUs run. A guest's memory is all regions of its process, at the same virtual addresses.
class Guests {
public:
    /// One VM with its client.
    struct Guest {
        const GuestConfig* config = nullptr;
        Process* process = nullptr;
        std::unique_ptr<notifiers::Kvm> kvm;
        std::unique_ptr<notifiers::KvmClient> client;
        std::deque<GuestProgram> programs;  ///< one per vCPU
    };

    /// Frames of the kernel's own memory that set_up() takes at most.
    static std::uint64_t frames_for(const ScenarioConfig& scenario, const Processes& processes);
    /// vCPUs of all guests.
    static unsigned vcpus(const PlatformConfig& platform, const ScenarioConfig& scenario);
    static const VmConfig& vm_of(const PlatformConfig& platform, const GuestConfig& guest);

    /// Before time begins. Clients have numbers from `first_client` on.
    void set_up(const SetupContext& context, std::uint64_t first_client,
                rmap::CallFunctionPort& calls, rmap::UserPagePort& user_pages);

    std::deque<Guest>& all() { return guests_; }
    const std::deque<Guest>& all() const { return guests_; }

private:
    void set_up_memory(const SetupContext& context, Guest& guest);

    std::deque<Guest> guests_;
};

}  // namespace mmusim::platform
