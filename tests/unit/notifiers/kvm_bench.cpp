// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/notifiers/kvm_bench.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

#include "notifiers/clients/kvm/kvm_mmu.hpp"

namespace mmusim::test {

using namespace mmusim::rmap;
using namespace mmusim::notifiers;

void FakeUsers::say(Cpu& cpu, const std::string& what, FrameNumber frame) {
    std::ostringstream text;
    text << what << " 0x" << std::hex << frame.value << " cpu" << cpu.id();
    diary.push_back(text.str());
}

std::optional<UserPage> FakeUsers::get_user_page(Cpu& cpu, MmId, VirtAddr address, Access access) {
    cpu.spend(kCost, Part::kFault);
    const auto it = pages.find(address);
    if (it == pages.end()) return std::nullopt;
    if (access == Access::kWrite) it->second.writable = true;
    const UserPage found = it->second;
    say(cpu, access == Access::kWrite ? "get for writing" : "get", found.frame);
    if (during_get) std::exchange(during_get, {})();
    return found;
}

GuestExit FakeGuest::enter_guest(const GuestContext& context) {
    entries.push_back(context);
    time_.spend(kCost, Part::kGuest);
    if (steps.empty()) return {GuestExit::Reason::kHalt, {}, {}};
    const auto step = std::move(steps.front());
    steps.pop_front();
    return step();
}

KvmBench::KvmBench(unsigned vcpus, InjectedFault fault)
    : machine(vcpus + 2),
      frames(machine),
      call_function(vcpus + 2, machine, AckOrder::kAfterFunction),
      calls(call_function),
      kvm({kVm, kClient, kMm, fault}, frames, calls, users),
      client(kvm) {
    machine.deliver_to(call_function);
    PhysMemPort& memory = setup_memory();
    kvm.add_fixed_slot(memory, kFixedGpa, kFixedFrame, 16);
    kvm.add_user_slot(memory, kGpa, range(0, kPages));
    for (unsigned id = 0; id < vcpus; ++id) kvm.create_vcpu(id + 1, kCr3);
    for (std::uint64_t page = 0; page < kPages; ++page)
        users.pages[hva(page)] = {kPfn + page, kGeneration, true};
    machine.memory().accesses.clear();
}

void KvmBench::map(std::uint64_t page) {
    const EptEntry entry = EptEntry::leaf(kPfn + page, true);
    machine.memory()[kvm.table.leaf(gpa(page)).entry] = {entry.raw(), kGeneration};
}

Lines KvmBench::accesses(ActorId actor, std::initializer_list<PhysAddr> words) {
    Lines result;
    for (const auto& access : machine.memory().accesses) {
        const auto it = std::find(words.begin(), words.end(), access.address);
        if (access.actor != actor || it == words.end()) continue;
        const bool load = access.kind == PlainWords::Access::Kind::kLoad;
        result.push_back((load ? "load " : "rmw ") + std::to_string(it - words.begin()));
    }
    return result;
}

}  // namespace mmusim::test
