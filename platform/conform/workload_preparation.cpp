// SPDX-License-Identifier: Apache-2.0
// What the captured program does to its target before the operation: the arguments "kind", "prep",
// "procs", "thr", "lazy" and "young".
#include <algorithm>

#include "platform/conform/workload.hpp"
#include "rmap/mm/address_space.hpp"

namespace mmusim::platform {

using rmap::Access;
using rmap::CpuId;
using rmap::VirtAddr;
using rmap::VirtRange;
using rmap::VmFlags;

/// What madvise(2) adds to the flags of the target.
constexpr std::uint64_t kNoHuge = 0x40000000;  // VM_NOHUGEPAGE

void Workload::plan_target() {
    act("main", [this](auto& core, rmap::Cpu& on) { map_target(core, on); });
}

void Workload::map_target(models::CoreModule& core, rmap::Cpu& cpu) {
    auto& kernel = machine_.kernel();
    const VirtRange target = capture_.target;
    const std::string& kind = arguments_.kind;
    if (kind == "anon") {
        kernel.mmap_anon(cpu, main_mm(), target, kNoHuge);
        return touch_first(core, cpu, Access::kWrite);
    }
    file_ = kind == "shmem" ? &kernel.create_shmem("target", target.pages())
                            : &kernel.create_file("target", target.pages());
    kernel.mmap_file(
        cpu, main_mm(), target, *file_, 0,
        kind == "filepriv" ? rmap::Kernel::Sharing::kPrivate : rmap::Kernel::Sharing::kShared);
    if (kind == "shmem") return touch_first(core, cpu, Access::kWrite);
    if (kind == "filepriv" && arguments_.wr) {
        touch_all(core, cpu, main_mm(), Access::kRead);
        return touch_first(core, cpu, Access::kWrite);
    }
    touch_first(core, cpu, Access::kRead);
    if (arguments_.wr) touch_all(core, cpu, main_mm(), Access::kWrite);
}

/// The state of the pages that the argument "prep" asks for.
void Workload::plan_preparation() {
    const std::string& prep = arguments_.prep;
    if (prep == "cleanfile" && (arguments_.kind == "file" || arguments_.kind == "filepriv"))
        act("main", [this](auto&, rmap::Cpu& cpu) { machine_.kernel().fsync(cpu, *file_); });
    // v5.0 has no MADV_PAGEOUT, so nothing was swapped out.
    if (prep == "clean") plan_touch_all(Access::kRead);
    if (prep == "madvfree" || prep == "madvfree_redirty") plan_madvise_free();
    if (prep == "splitpte") plan_protect_and_back();
    if (prep == "mlock" || prep == "mlockboth" || prep == "mlockonfault")
        act("main", [this, prep](auto&, rmap::Cpu& cpu) {
            machine_.kernel().mlock(
                cpu, main_mm(), capture_.target,
                prep == "mlockonfault" ? rmap::MlockFlags::kOnFault : rmap::MlockFlags::kNone);
        });
    const unsigned last = prep == "mlockchild" ? 1 : prep == "mlockboth" ? arguments_.procs - 1 : 0;
    for (unsigned n = 1; n <= last; ++n) {
        const std::string name = "p" + std::to_string(n);
        act(name, [this, name](auto&, rmap::Cpu& cpu) {
            machine_.kernel().mlock(cpu, *member(name).mm, capture_.target);
        });
    }
    if (prep == "idleset") plan_marks();
}

/// Only pages on an LRU list can be idle. What else was in main's pagevec, and so whether they had
/// left it, is given: pages that are looked at later were idle.
void Workload::plan_marks() {
    const auto& events = capture_.events;
    const bool drained = std::any_of(events.begin(), events.end(), [](const CaptureEvent& event) {
        return event.name == "page_idle_clear_pte_refs";
    });
    if (drained) plan_drain();
    act("main", [this](auto&, rmap::Cpu& cpu) { page_idle(cpu, true); });
}

void Workload::plan_madvise_free() {
    act("main", [this](auto& core, rmap::Cpu& cpu) {
        machine_.kernel().madvise(cpu, main_mm(), capture_.target, rmap::Madvise::kFree);
        if (arguments_.prep != "madvfree_redirty") return;
        for (std::uint64_t n = 0; n < arguments_.np; n += 2)
            touch(core, cpu, main_mm(), capture_.target.start + n * rmap::kPageSize,
                  Access::kWrite);
    });
}

/// The first page becomes read-only and writable again.
void Workload::plan_protect_and_back() {
    act("main", [this](auto&, rmap::Cpu& cpu) {
        const VirtRange page{capture_.target.start, capture_.target.start + rmap::kPageSize};
        for (const std::uint64_t prot : {VmFlags::kRead, VmFlags::kRead | VmFlags::kWrite})
            machine_.kernel().mprotect(cpu, main_mm(), page, prot);
    });
}

void Workload::plan_touch_all(Access access) {
    act("main",
        [this, access](auto& core, rmap::Cpu& on) { touch_all(core, on, main_mm(), access); });
}

void Workload::plan_children() {
    CpuId cpu = next_cpu(member("main").cpu);
    for (unsigned n = 1; n < arguments_.procs; ++n) {
        const std::string name = "p" + std::to_string(n);
        act("main", [this, name](auto&, rmap::Cpu& on) {
            member(name).mm = &machine_.kernel().fork(on, main_mm(), name);
        });
        members_.push_back({name, cpu, nullptr});
        cpu = next_cpu(cpu);
    }
    const bool writes = arguments_.wr && !anonymous();
    for (unsigned n = 1; n < arguments_.procs; ++n) {
        const std::string name = "p" + std::to_string(n);
        act(name, [this, name, writes](auto& core, rmap::Cpu& on) {
            touch_all(core, on, *member(name).mm, writes ? Access::kWrite : Access::kRead);
        });
    }
}

void Workload::plan_threads() {
    CpuId cpu = next_cpu(member("main").cpu);
    for (unsigned n = 1; n < arguments_.procs; ++n) cpu = next_cpu(cpu);
    for (unsigned n = 0; n < arguments_.thr + arguments_.lazy; ++n) {
        const bool sleeps = n >= arguments_.thr;
        step(cpu, [this, sleeps](auto& core, rmap::Cpu& on) {
            run_as(member("main"), on);
            touch_all(core, on, main_mm(), arguments_.wr ? Access::kWrite : Access::kRead);
            if (sleeps) machine_.flush().enter_lazy_tlb(on);
        });
        cpu = next_cpu(cpu);
    }
}

/// Reclaimed once and faulted back: mm->tlb_flush_batched stays set.
void Workload::plan_refault() {
    plan_drain();
    act("main", [this](auto& core, rmap::Cpu& cpu) {
        charge(cpu, main_mm(), capture_.target);
        main_mm().memcg = kTargetGroup;
        rmap::ReclaimControl everything;
        everything.memcg = kTargetGroup;
        machine_.kernel().reclaim_pages(cpu, everything);
        touch_all(core, cpu, main_mm(), Access::kWrite);
        main_mm().memcg = 0;
    });
}

void Workload::plan_last_touches() {
    if (arguments_.young == 0)
        act("main", [this](auto&, rmap::Cpu& on) { clear_refs(on, rmap::ClearRefs::kAll); });
    if (arguments_.young != 1) return;
    for (unsigned n = 0; n < arguments_.procs; ++n) {
        const std::string name = process_name(n);
        act(name, [this, name](auto& core, rmap::Cpu& on) {
            touch_all(core, on, *member(name).mm, Access::kRead);
        });
    }
}

}  // namespace mmusim::platform
