// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "notifiers/clients/kvm/memslot.hpp"
#include "notifiers/clients/kvm/second_stage_table.hpp"
#include "rmap/ports/call_function_port.hpp"
#include "rmap/ports/cpu.hpp"
#include "rmap/ports/frame_allocator.hpp"
#include "rmap/ports/guest_port.hpp"
#include "rmap/ports/user_page_port.hpp"
#include "rmap/sync/lock.hpp"
#include "rmap/types/ids.hpp"
#include "rmap/types/injected_fault.hpp"

namespace mmusim::notifiers {

/// vcpu->mode (include/linux/kvm_host.h).
enum class VcpuMode : std::uint64_t { kOutsideGuest = 0, kInGuest = 1, kExitingGuest = 2 };

/// KVM_REQ_TLB_FLUSH as a bit of vcpu->requests. The only request that is modelled.
inline constexpr std::uint64_t kReqTlbFlush = 1;

/// What one vCPU did. Written by its own CPU only.
struct VcpuStats {
    std::uint64_t exits = 0;
    std::uint64_t faults = 0;     ///< EPT violations
    std::uint64_t retries = 0;    ///< of those, the ones that met a notifier section
    std::uint64_t tlb_flush = 0;  ///< requests served
};

/// struct kvm_vcpu. It stays on one CPU. Mode and requests are words of one line, which other CPUs
/// read and write without a lock.
struct KvmVcpu {
    unsigned id = 0;
    rmap::CpuId cpu = 0;
    rmap::GuestPhysAddr cr3{};
    rmap::PhysAddr line{};
    VcpuStats stats;

    rmap::PhysAddr mode() const { return line; }
    rmap::PhysAddr requests() const { return line + 8; }
};

struct KvmConfig {
    rmap::VmId vm = 1;         ///< at least 1: the VPID
    std::uint64_t client = 0;  ///< argument `client` of the events
    rmap::MmId mm = 0;         ///< of the process whose memory the user slots are
    rmap::InjectedFault fault = rmap::InjectedFault::kNone;
};

/// What KVM's own code did in the notifiers. Guarded by mmu_lock.
struct KvmStats {
    std::uint64_t remote_tlb_flush = 0;  ///< kvm_flush_remote_tlbs that sent an interrupt
    std::uint64_t kicks = 0;             ///< vCPUs that were interrupted
};

/// struct kvm (Linux v5.0, x86 with EPT and its accessed and dirty bits). Slots and vCPUs are made
/// at set-up; then vcpu_run() may run on the CPUs of the vCPUs, and a KvmClient registered for the
/// mm keeps the second-stage table true.
/// Models: mmu_lock, the notifier sequence and count, TLB-flush requests and kicks, TDP faults.
/// Does not model: shadow paging, 2 MiB entries for user memory (the engine has no transparent huge
/// pages), dirty logging, access tracking without A/D bits, system management mode's second
/// address space, the reload of the APIC page. fast_page_fault() has nothing to do, since KVM
/// itself write-protects nothing.
struct Kvm {
    /// `calls` and `users` must outlive it, `frame_allocator` the set-up.
    Kvm(const KvmConfig& kvm_config, rmap::FrameAllocator& frame_allocator,
        rmap::CallFunctionPort& call_port, rmap::UserPagePort& user_pages);
    Kvm(const Kvm&) = delete;
    Kvm& operator=(const Kvm&) = delete;

    // ---- set-up only; `memory` lets no time pass ----
    /// KVM_SET_USER_MEMORY_REGION: `range` of the process is the VM's memory from `first` on. Whole
    /// pages; no entry is made before the guest touches a page.
    void add_user_slot(rmap::PhysMemPort& memory, rmap::GuestPhysAddr first, rmap::VirtRange range);
    /// `pages` frames from `frame` on are the VM's memory from `first` on and mapped at once.
    void add_fixed_slot(rmap::PhysMemPort& memory, rmap::GuestPhysAddr first,
                        rmap::FrameNumber frame, std::uint64_t pages);
    /// KVM_CREATE_VCPU: a vCPU that runs on `cpu`, with the guest's page tables at `cr3`. The
    /// reference stays valid.
    KvmVcpu& create_vcpu(rmap::CpuId cpu, rmap::GuestPhysAddr cr3);

    /// gfn_to_memslot(); a failed check if no slot contains the address.
    const Memslot& slot_of(rmap::GuestPhysAddr address) const;

    const KvmConfig config;
    rmap::CallFunctionPort& calls;
    rmap::UserPagePort& users;

    /// Taken inside a page-table lock (ageing), and with an lru_lock taken inside it.
    rmap::Lock mmu_lock;

    // Words of one line. Written under mmu_lock; the sequence is also read without it.
    const rmap::PhysAddr mmu_notifier_seq;
    const rmap::PhysAddr mmu_notifier_count;
    const rmap::PhysAddr tlbs_dirty;  ///< raised by shadow paging only

    // mmu_lock.
    SecondStageTable table;
    bool released = false;  ///< the process is gone: no new entries
    KvmStats stats;

    // Set-up.
    std::vector<Memslot> slots;
    std::deque<KvmVcpu> vcpus;

private:
    /// `words` is a line.
    Kvm(const KvmConfig& kvm_config, rmap::FrameAllocator& frame_allocator,
        rmap::CallFunctionPort& call_port, rmap::UserPagePort& user_pages, rmap::PhysAddr words);
    void add_slot(const Memslot& slot);

    rmap::FrameAllocator& frames_;
};

}  // namespace mmusim::notifiers
