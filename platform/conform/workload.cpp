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

constexpr VirtRange kScratch{{0x4d8000}, {0x4da000}};  ///< static memory of the program

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

}  // namespace mmusim::platform
