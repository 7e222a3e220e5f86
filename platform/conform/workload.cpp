// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/workload.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::Access;
using rmap::CpuId;
using rmap::VirtAddr;
using rmap::VirtRange;
using rmap::VmFlags;

namespace {

constexpr CpuId kLastCpu = 3;  ///< more processes and threads than CPUs share it
constexpr VirtRange kScratch{{0x4d8000}, {0x4da000}};  ///< static memory of the program
constexpr unsigned kTargetGroup = 1;                   ///< memory cgroup /t
/// What madvise(2) adds to the flags of the target.
constexpr std::uint64_t kNoHuge = 0x40000000;  // VM_NOHUGEPAGE

CpuId next_cpu(CpuId cpu) { return std::min(cpu + 1, kLastCpu); }

/// What events say of a CPU as it was before them.
struct InitialState {
    std::optional<bool> lazy;
    std::uint64_t loaded = 0;           ///< the capture's mm; 0: not known
    std::vector<std::uint64_t> not_in;  ///< the capture's mms whose cpumask lacks the CPU
};

/// Whom the first switch of a CPU leaves.
std::uint64_t first_switch_leaves(const Capture& capture, CpuId cpu) {
    for (const auto& event : capture.events)
        if (event.cpu == cpu && event.name == "switch_mm_irqs_off") return event.number("prev");
    return 0;
}

InitialState initial_state(const Capture& capture, CpuId cpu) {
    InitialState state;
    const auto before = capture.loaded_before.find(cpu);
    state.loaded =
        before != capture.loaded_before.end() ? before->second : first_switch_leaves(capture, cpu);
    std::vector<std::uint64_t> batch;
    std::vector<std::uint64_t> seen;
    const auto note = [&](std::uint64_t mm, std::uint64_t mask) {
        if (std::count(seen.begin(), seen.end(), mm)) return;
        seen.push_back(mm);
        if (!(mask >> cpu & 1)) state.not_in.push_back(mm);
    };
    const CaptureEvent* last = nullptr;
    for (const auto& event : capture.events) {
        if (event.cpu == cpu && event.name == "switch_mm_irqs_off") break;
        if (event.name == "tlb_is_not_lazy_ret" && last && last->number("target") == cpu &&
            !state.lazy)
            state.lazy = event.number("ret") == 0;
        if (event.name == "ubc_flush_required") batch.push_back(event.number("mm"));
        if (event.name == "flush_tlb_others" && event.number("mm"))
            note(event.number("mm"), event.number("cpumask"));
        if (event.name == "arch_tlbbatch_flush") {
            for (const auto mm : batch) note(mm, event.number("cpumask"));
            batch.clear();
        }
        last = &event;
    }
    return state;
}

}  // namespace

Workload::Workload(const Capture& capture, const WorkloadArguments& arguments,
                   ConformMachine& machine, Bindings& bindings)
    : capture_(capture),
      arguments_(arguments),
      machine_(machine),
      bindings_(bindings),
      frames_(machine.kernel()),
      program_(find_program_memory(capture)),
      cast_(find_cast(capture, program_)),
      forked_(find_forked()) {
    plan();
}

// ---- processes ----

Workload::Member& Workload::member(const std::string& name) {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const Member& m) { return m.name == name; });
    MMUSIM_CHECK(found != members_.end(), "the scenario has this process");
    return *found;
}

const Workload::Member& Workload::operator_() const {
    return const_cast<Workload*>(this)->member(arguments_.by_rec() ? "rec" : "main");
}

void Workload::step(CpuId cpu, std::function<void(models::CoreModule&, rmap::Cpu&)> run) {
    steps_.push_back({cpu, std::move(run)});
}

void Workload::act(const std::string& name,
                   std::function<void(models::CoreModule&, rmap::Cpu&)> run) {
    step(member(name).cpu, [this, name, run = std::move(run)](auto& core, rmap::Cpu& cpu) {
        run_as(member(name), cpu);
        run(core, cpu);
    });
}

void Workload::run_as(const Member& member, rmap::Cpu& cpu) {
    rmap::Task& task = machine_.task(cpu.id());
    task.mm = member.mm;
    machine_.flush().switch_mm(cpu, &member.mm->context);
}

rmap::Mm& Workload::mm_of(rmap::Cpu& cpu, std::uint64_t theirs) {
    if (const auto named = capture_.mms.find(theirs); named != capture_.mms.end())
        return *member(named->second).mm;
    if (is_child(theirs)) return *child_;
    rmap::Mm*& mm = strangers_[theirs];
    if (!mm) mm = &machine_.kernel().create_mm(cpu, "stranger");
    return *mm;
}

// ---- what the program does to its memory ----

void Workload::touch(models::CoreModule& core, rmap::Cpu& cpu, const UserAccess& access) {
    for (;;) {
        const auto fault = core.access(access.address, access.kind, rmap::nanoseconds(1));
        if (fault == rmap::Fault::kNone) return;
        last_fault_[cpu.id()] = fault;
        const auto result =
            machine_.kernel().handle_page_fault(cpu, *access.mm, access.address, access.kind);
        if (result != rmap::FaultResult::kHandled && result != rmap::FaultResult::kRetry) return;
    }
}

void Workload::touch_all(models::CoreModule& core, rmap::Cpu& cpu, rmap::Mm& mm, Access access) {
    const VirtRange target = capture_.target;
    for (VirtAddr page = target.start; page < target.end; page = page + rmap::kPageSize)
        touch(core, cpu, mm, page, access);
}

/// Main's touch that allocates the pages which the capture lists.
void Workload::touch_first(models::CoreModule& core, rmap::Cpu& cpu, Access access) {
    std::map<VirtAddr, std::uint64_t> frames;  // the capture's
    for (const auto& seen : cast_.target_pages)
        if (name_of(seen.mm) == "main") frames.emplace(seen.address, seen.pfn);
    for (const auto& page : capture_.pages_before)
        if (page.process == 0 && page.pfn)
            frames[capture_.target.start + page.index * rmap::kPageSize] = *page.pfn;
    for (const auto& [address, frame] : frames) {
        rmap::mmap_sem_lock_read(cpu, main_mm());
        rmap::pte_alloc(cpu, machine_.kernel().state(), main_mm(), address, rmap::Part::kFault);
        rmap::mmap_sem_unlock_read(cpu, main_mm());
        frames_.place_next(cpu, frame);
        touch(core, cpu, main_mm(), address, access);
    }
    touch_all(core, cpu, main_mm(), access);
}

void Workload::plan() {
    plan_main();
    if (arguments_.by_rec()) plan_rec();
    plan_target();
    plan_children();
    plan_private_copies();
    plan_preparation();
    plan_threads();
    if (arguments_.prep == "recl_touch") plan_refault();
    plan_last_touches();
    plan_program();
    if (reclaims()) plan_group();
    plan_bindings();
    plan_drain();
    plan_cpu_states();
}

void Workload::plan_main() {
    const CpuId cpu = arguments_.by_rec() ? 1 : 0;
    members_.push_back({"main", cpu, nullptr});
    step(cpu, [this](auto&, rmap::Cpu& on) {
        member("main").mm = &machine_.kernel().create_mm(on, "main");
    });
    act("main", [this](auto& core, rmap::Cpu& on) {
        if (!program_.empty()) return map_program(core, on);
        machine_.kernel().mmap_anon(on, main_mm(), kScratch);
        for (VirtAddr page = kScratch.start; page < kScratch.end; page = page + rmap::kPageSize)
            touch(core, on, main_mm(), page, Access::kWrite);
        map_strangers(core, on);
    });
}

/// The operator is forked before the target is mapped, and shares the program's own memory.
void Workload::plan_rec() {
    act("main", [this](auto&, rmap::Cpu& on) {
        member("rec").mm = &machine_.kernel().fork(on, main_mm(), "rec");
    });
    members_.push_back({"rec", 0, nullptr});
    act("rec", [](auto&, rmap::Cpu&) {});
    plan_rewrites({"rec"});
}

/// Main has written once more to what none of these processes has a share in (any longer).
void Workload::plan_rewrites(const std::vector<std::string>& others) {
    act("main", [this, others](auto& core, rmap::Cpu& on) {
        for (const auto& stranger : cast_.strangers) {
            if (stranger.kind != Stranger::Kind::kAnon) continue;
            const auto& visits = stranger.visits;
            const bool shared =
                std::any_of(visits.begin(), visits.end(), [&](const Stranger::Visit& visit) {
                    return visit.mapped &&
                           std::count(others.begin(), others.end(), name_of(visit.mm)) != 0;
                });
            for (const auto& visit : visits)
                if (!shared && visit.mapped && name_of(visit.mm) == "main")
                    touch(core, on, main_mm(), visit.address, Access::kWrite);
        }
    });
}

// ---- pages that came along ----

/// The process of an mm; the operator's is not listed.
std::string Workload::name_of(std::uint64_t theirs) const {
    const auto named = capture_.mms.find(theirs);
    return named == capture_.mms.end() ? "rec" : named->second;
}

/// What a VMA of the program's own memory has besides the flags of all private, writable ones: the
/// stack grows down, and what comes from the program's file stays connected with it, which is
/// given.
std::uint64_t more_flags(const Stranger::Visit& visit) {
    constexpr VirtAddr kMmapBase{0x7ffff7fff000};  // 128 MiB below the top of the stack
    constexpr std::uint64_t kDenyWrite = 0x800;    // VM_DENYWRITE
    const std::uint64_t stack = visit.address < kMmapBase ? 0 : VmFlags::kGrowsDown;
    return stack | (visit.vm_flags & kDenyWrite);
}

/// VMAs of the program's own memory, as far as anybody looked at it, and the pages of main.
void Workload::map_strangers(models::CoreModule& core, rmap::Cpu& cpu) {
    std::map<std::uint64_t, VirtRange> extents;  // by the capture's VMA
    std::map<std::uint64_t, std::uint64_t> flags;
    for (const auto& stranger : cast_.strangers) {
        if (stranger.kind != Stranger::Kind::kAnon) continue;
        for (const auto& visit : stranger.visits) {
            if (name_of(visit.mm) != "main") continue;
            const VirtRange page{visit.address, visit.address + rmap::kPageSize};
            auto& extent = extents.emplace(visit.vma, page).first->second;
            extent = {std::min(extent.start, page.start), std::max(extent.end, page.end)};
            flags[visit.vma] |= more_flags(visit);
        }
    }
    for (const auto& [vma, extent] : extents) {
        machine_.kernel().mmap_anon(cpu, main_mm(), extent, flags[vma]);
        for (VirtAddr page = extent.start; page < extent.end; page = page + rmap::kPageSize)
            touch(core, cpu, main_mm(), page, Access::kWrite);
    }
    other_file_ = &machine_.kernel().create_file("other", cast_.strangers.size() + 1);
    for (const auto& stranger : cast_.strangers)
        if (stranger.kind == Stranger::Kind::kUnmapped) read_stranger(cpu, stranger);
}

/// A page of some file that nobody maps.
void Workload::read_stranger(rmap::Cpu& cpu, const Stranger& stranger) {
    auto& state = machine_.kernel().state();
    rmap::Page& page = state.pages.alloc_page(cpu, 0);
    rmap::lock_page(cpu, page);
    page.memcg = kTargetGroup;
    const auto index = static_cast<std::uint64_t>(&stranger - cast_.strangers.data());
    rmap::add_to_page_cache_lru(cpu, state, *other_file_, page, index);
    page.set(cpu, rmap::PageFlag::kUptodate);
    if (!stranger.reclaimed) page.set(cpu, rmap::PageFlag::kPrivate);
    rmap::unlock_page(cpu, page);
    rmap::put_page(cpu, state, page);
    bindings_.bind(Identity::kFrame, stranger.pfn, page.pfn().value);
}

/// Who was visited without having the page has written to it since the fork.
void Workload::plan_private_copies() {
    for (const auto& stranger : cast_.strangers) {
        if (stranger.kind != Stranger::Kind::kAnon) continue;
        for (const auto& visit : stranger.visits) {
            const std::string name = name_of(visit.mm);
            if (visit.mapped) continue;
            act(name, [this, name, address = visit.address](auto& core, rmap::Cpu& on) {
                touch(core, on, *member(name).mm, address, Access::kWrite);
            });
        }
    }
    plan_rewrites({"rec", "p1", "p2"});
}

/// The pages are charged to a group of their own, and lie on its lists.
void Workload::charge(rmap::Cpu& cpu, rmap::Mm& mm, VirtRange range) {
    auto& kernel = machine_.kernel();
    auto& state = kernel.state();
    for (VirtAddr at = range.start; at < range.end; at = at + rmap::kPageSize) {
        const auto word = kernel.read_pte(cpu, mm, at);
        const rmap::Pte pte{word ? word->value : 0};
        if (!pte.present() || pte.frame() == state.zero_page) continue;
        rmap::Page& page = state.pages.pfn_to_page(pte.frame());
        if (page.memcg == kTargetGroup) continue;
        const bool on_list = page.test(cpu, rmap::PageFlag::kLru);
        if (on_list) state.lru.del_page_from_lru_list(cpu, page);
        page.memcg = kTargetGroup;
        if (on_list) state.lru.add_page_to_lru_list(cpu, page);
    }
}

void Workload::plan_group() {
    act("main", [this](auto&, rmap::Cpu& cpu) {
        charge(cpu, main_mm(), capture_.target);
        for (const auto& stranger : cast_.strangers)
            for (const auto& visit : stranger.visits)
                charge(cpu, *member(name_of(visit.mm)).mm,
                       {visit.address, visit.address + rmap::kPageSize});
        if (!arguments_.incg) return;
        for (auto& member : members_)
            if (member.name != "rec") member.mm->memcg = kTargetGroup;
    });
}

/// The program moves a page of its own, which drains every CPU's pagevecs.
void Workload::plan_drain() {
    act("main",
        [this](auto&, rmap::Cpu& cpu) { rmap::lru_add_drain_all(cpu, machine_.kernel().state()); });
}

/// Sleeping tasks leave their address space to the idle task. Whether they do at this moment is
/// what the first that asks was told; whether somebody else has taken the CPU, what the first mask
/// says.
void Workload::plan_cpu_states() {
    for (CpuId cpu = 0; cpu <= kLastCpu; ++cpu) {
        if (cpu == operator_cpu()) continue;
        const InitialState state = initial_state(capture_, cpu);
        const bool sleeps = !arguments_.spin && cpu_of_sleeper(cpu);
        step(cpu, [this, state, sleeps](auto&, rmap::Cpu& on) {
            auto& flush = machine_.flush();
            const auto loaded = flush.cpu_tlbstate(on.id()).loaded_mm.id;
            const auto theirs = bindings_.theirs(Identity::kMm, loaded);
            if (state.loaded && state.loaded != theirs)
                flush.switch_mm(on, &mm_of(on, state.loaded).context);
            if (state.loaded && !capture_.mms.count(state.loaded)) return;
            if (!state.loaded && std::count(state.not_in.begin(), state.not_in.end(), theirs)) {
                flush.switch_mm(on, &machine_.kernel().create_mm(on, "stranger").context);
                return;
            }
            if (state.lazy.value_or(sleeps)) flush.enter_lazy_tlb(on);
        });
    }
}

bool Workload::cpu_of_sleeper(CpuId cpu) const {
    return std::any_of(members_.begin(), members_.end(),
                       [&](const Member& member) { return member.cpu == cpu; });
}

/// What the capture's header says of processes and pages.
void Workload::plan_bindings() {
    step(member("main").cpu, [this](auto&, rmap::Cpu& cpu) {
        for (const auto& [pointer, name] : capture_.mms)
            bindings_.bind(Identity::kMm, pointer, member(name).mm->context.id);
        for (const auto& seen : cast_.target_pages)
            bind_page(cpu, *member(name_of(seen.mm)).mm, seen.address, seen.pfn);
        for (const auto& stranger : cast_.strangers)
            for (const auto& visit : stranger.visits)
                if (visit.mapped)
                    bind_page(cpu, *member(name_of(visit.mm)).mm, visit.address, stranger.pfn);
        for (const auto& page : capture_.pages_before) {
            if (!page.pfn) continue;
            const std::string name =
                page.process == 0 ? "main" : "p" + std::to_string(page.process);
            const auto address = capture_.target.start + page.index * rmap::kPageSize;
            bind_page(cpu, *member(name).mm, address, *page.pfn);
        }
    });
}

void Workload::bind_page(rmap::Cpu& cpu, rmap::Mm& mm, VirtAddr address, std::uint64_t theirs) {
    const auto word = machine_.kernel().read_pte(cpu, mm, address);
    const rmap::Pte pte{word ? word->value : 0};
    if (pte.present()) bindings_.bind(Identity::kFrame, theirs, pte.frame().value);
}

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

// ---- the operation ----

/// The page that do_swap_page() is called for: whoever finds it in migration says so next;
/// otherwise the one of a VMA, one of those that came along, that is not present.
std::optional<VirtAddr> Workload::swapped_page(rmap::Cpu& cpu, const CaptureEvent& event) {
    const CaptureEvent* const end = capture_.events.data() + capture_.events.size();
    const auto* next = std::find_if(&event + 1, end, [&](const CaptureEvent& later) {
        return later.cpu == event.cpu && !later.irq;
    });
    if (next != end && next->name == "migration_entry_wait") return VirtAddr{next->number("addr")};
    const std::uint64_t vma = event.number("vma");
    for (const auto& stranger : cast_.strangers)
        for (const auto& visit : stranger.visits) {
            if (visit.vma != vma) continue;
            const auto word =
                machine_.kernel().read_pte(cpu, *member(name_of(visit.mm)).mm, visit.address);
            if (word && rmap::Pte{word->value}.swap_type()) return visit.address;
        }
    return std::nullopt;
}

const rmap::Page* Workload::cached_page(rmap::Cpu& cpu, const CaptureEvent& fault) {
    const auto address = swapped_page(cpu, fault);
    if (!address) return nullptr;
    auto& state = machine_.kernel().state();
    const auto word = machine_.kernel().read_pte(cpu, *machine_.task(cpu.id()).mm, *address);
    const rmap::Pte pte{word ? word->value : 0};
    if (!pte.swap_type() || pte.migration()) return nullptr;
    const rmap::PhysAddr slot = state.swap.cache.slot(pte.offset());
    const auto frame = cpu.memory().load(slot, rmap::Part::kUser).value;
    return frame ? &state.pages.pfn_to_page({frame}) : nullptr;
}

/// The page that wp_page_copy() is called for: its entry is cleared next.
std::optional<VirtAddr> Workload::copied_page(const CaptureEvent& event) const {
    const CaptureEvent* const end = capture_.events.data() + capture_.events.size();
    const auto* next = std::find_if(&event + 1, end, [&](const CaptureEvent& later) {
        return later.cpu == event.cpu && !later.irq;
    });
    if (next == end || next->name != "ptep_clear_flush") return std::nullopt;
    return VirtAddr{next->number("addr")};
}

std::optional<Workload::UserAccess> Workload::faulting_access(rmap::Cpu& cpu,
                                                              const CaptureEvent& event) {
    constexpr std::uint64_t kWriteFault = 2;      // X86_PF_WRITE
    constexpr std::uint64_t kFaultFlagWrite = 1;  // FAULT_FLAG_WRITE
    rmap::Mm* mm = machine_.task(cpu.id()).mm;
    const auto theirs = capture_.mm_of_task(event.task);
    if (theirs && (!mm || mm != child_)) mm = &mm_of(cpu, theirs);
    const auto access = [](bool write) { return write ? Access::kWrite : Access::kRead; };
    if (event.name == "page_fault_user")
        return UserAccess{
            mm, {event.number("address")}, access(event.number("error_code") & kWriteFault)};
    if (event.name == "handle_mm_fault")
        return UserAccess{
            mm, {event.number("addr")}, access(event.number("flags") & kFaultFlagWrite)};
    if (event.name == "ptep_set_access_flags")
        return UserAccess{
            mm, {event.number("addr")}, access(rmap::Pte{event.number("pte")}.writable())};
    if (event.name == "wp_page_copy") {
        const auto address = copied_page(event);
        return address ? std::optional(UserAccess{mm, *address, Access::kWrite}) : std::nullopt;
    }
    if (event.name != "do_swap_page") return std::nullopt;
    if (const auto address = swapped_page(cpu, event))
        return UserAccess{mm, *address, Access::kRead};
    return std::nullopt;
}

}  // namespace mmusim::platform
