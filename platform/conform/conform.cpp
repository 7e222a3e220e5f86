// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/conform.hpp"

#include <memory>

#include <fmt/format.h>

#include "platform/conform/conform_machine.hpp"
#include "platform/conform/reclaim_lists.hpp"
#include "platform/conform/script.hpp"
#include "platform/conform/workload.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

using rmap::CpuId;

namespace {

/// Slots that are free are an input: enough, unless one was refused; then as many as were given out
/// before.
std::uint64_t swap_slots(const Capture& capture) {
    constexpr std::uint64_t kEnough = 1 << 16;
    std::uint64_t given = 0;
    for (const auto& event : capture.events) {
        if (event.name == "shmem_writepage") ++given;
        if (event.name != "add_to_swap_ret") continue;
        if (event.number("ret") == 0) return given;
        ++given;
    }
    return kEnough;
}

/// What swap is on is said by the command line: a disk's name, or a kind of memory; none: nothing
/// was written to it.
rmap::SwapConfig swap_of(const Capture& capture) {
    rmap::SwapConfig swap;
    swap.slots = swap_slots(capture);
    const auto device = capture.boot.find("swap");
    const bool disk = device != capture.boot.end() && device->second.rfind("vd", 0) == 0;
    swap.device = disk ? rmap::SwapDevice::kDisk : rmap::SwapDevice::kZram;
    return swap;
}

constexpr unsigned kGroup = 1;
constexpr std::uint64_t kFirstSwapperSpace = 1;
constexpr unsigned kSwapAddressSpaceShift = 14;  // SWAP_ADDRESS_SPACE_SHIFT
/// Less than what ConformMachine::run() takes for a standstill.
constexpr rmap::Duration kDiskWrite = rmap::nanoseconds(90'000'000);
/// How long, and in which steps, a fault waits for somebody to lock its page.
constexpr unsigned kPatience = 4000;
constexpr rmap::Duration kLook = rmap::nanoseconds(50);
constexpr std::uint64_t kHardwareBits = rmap::Pte::kAccessed | rmap::Pte::kDirty;

/// The machine of the capture, with a CPU more if its flusher thread needs one. Its disk is so slow
/// that no write ends before something shows that it has (ReclaimLists).
PlatformConfig machine_of(const Capture& capture, PlatformConfig platform) {
    if (capture.has_flusher) ++platform.topology.cores_per_socket;
    platform.costs.disk_write = kDiskWrite;
    return platform;
}

/// Whether an event reads an entry whose bits may be given.
bool reads_bits(const CaptureEvent& event) {
    return event.name == "ptep_clear_flush_young" || event.name == "ptep_test_and_clear_young" ||
           event.name == "ptep_clear_flush" || event.name == "pte_clear_defer";
}

/// Whether tlb_gen is raised behind an event, by whoever will ask CPUs to flush.
bool raises_generation(const CaptureEvent& event) {
    return event.name == "flush_tlb_mm_range" || event.name == "pte_clear_defer";
}

/// The parts of one replay, and the program of its CPUs.
class Replay final : public EventContext {
public:
    Replay(const Capture& capture, const PlatformConfig& platform)
        : capture_(capture),
          platform_(machine_of(capture, platform)),
          script_(capture),
          comparison_(*this),
          visibility_(capture, comparison_.bindings()),
          lockstep_(
              script_, comparison_, visibility_,
              {[this](rmap::Cpu& cpu, const CaptureEvent& next) { prepare_inputs(cpu, next); },
               [this](rmap::Cpu& cpu, const rmap::TakenInterrupt& taken) {
                   catch_up_if_told(cpu);
                   machine_.calls().handle_interrupt(cpu, taken);
               },
               [this](rmap::Cpu& from, CpuId to, rmap::Vector vector) {
                   machine_.interrupt(from, to, vector);
               },
               [this](rmap::Cpu& cpu, const CaptureEvent& matched) { lose_race(cpu, matched); },
               [this](rmap::Cpu& cpu) { resume(cpu); },
               [this](rmap::Cpu& cpu, const CaptureEvent& event) { switch_mm(cpu, event); }}),
          machine_({platform_, swap_of(capture), 2,
                    [this](CpuId cpu, rmap::Event event, const rmap::EventArguments& arguments) {
                        lockstep_.emit(cpu, event, arguments);
                    },
                    [this](CpuId cpu, const rmap::TakenInterrupt& taken) {
                        lockstep_.interrupt(cpu, taken);
                    }}),
          workload_(capture, workload_arguments(capture), machine_, comparison_.bindings()),
          inputs_(capture, workload_arguments(capture)) {
        for (CpuId cpu = 0; cpu < machine_.cpus(); ++cpu) lockstep_.attach(machine_.cpu(cpu));
    }

    ConformResult run() {
        try {
            machine_.run([this](models::CoreModule& core, rmap::Cpu& cpu) { run_cpu(core, cpu); },
                         [this] { return lockstep_.progress(); });
        } catch (const ReplayStopped&) {
        }
        ConformResult result;
        result.counts = {script_.events_without_marks(), lockstep_.predicted(), inputs_.counts(),
                         script_.ignored()};
        result.mismatch = lockstep_.mismatch();
        if (!result.mismatch && !script_.done()) result.mismatch = lockstep_.standstill();
        return result;
    }

    // EventContext
    std::uint64_t vma(rmap::MmId mm, std::uint64_t address) override {
        const auto* vma = machine_.kernel().mm(mm).find_vma({address});
        return reinterpret_cast<std::uintptr_t>(vma);
    }
    bool protection_fault(CpuId cpu) override {
        return workload_.last_fault(cpu) == rmap::Fault::kProtection;
    }
    std::optional<std::uint64_t> mapping(std::uint64_t frame) override {
        rmap::Cpu& cpu = machine_.cpu(workload_.operator_cpu());
        const auto& page = machine_.kernel().state().pages.pfn_to_page({frame});
        if (page.test(cpu, rmap::PageFlag::kSwapCache)) {
            // One address_space for every 64 MiB of swap, by the kernel's own slots.
            const auto slot =
                comparison_.bindings().theirs(Identity::kSwapSlot, page.swap.offset + 1);
            if (slot == 0) return std::nullopt;
            return kFirstSwapperSpace + ((slot - 1) >> kSwapAddressSpaceShift);
        }
        const auto mapping = page.mapping(cpu);
        return mapping.anon() ? 0 : mapping.raw;
    }

private:
    void run_cpu(models::CoreModule& core, rmap::Cpu& cpu) {
        prepare(core, cpu);
        while (const CaptureEvent* event = lockstep_.await_activity(cpu)) {
            const std::size_t before = script_.position();
            account_for(core, cpu, *event);
            if (script_.position() == before && !lockstep_.over())
                lockstep_.fail(cpu, "what our CPU does here shows no event");
        }
    }

    void prepare(models::CoreModule& core, rmap::Cpu& cpu) {
        const auto& steps = workload_.preparation();
        for (std::size_t n = 0; n < steps.size(); ++n) {
            if (steps[n].cpu != cpu.id()) continue;
            lockstep_.await_step(cpu, n);
            steps[n].run(core, cpu);
            const bool last = n + 1 == steps.size();
            lockstep_.finish_step(cpu, last ? std::nullopt : std::optional(steps[n + 1].cpu));
        }
    }

    /// Something begins on a CPU that did nothing.
    void account_for(models::CoreModule& core, rmap::Cpu& cpu, const CaptureEvent& event) {
        if (event.name == "mark") return mark(core, cpu, event);
        if (event.name == "switch_mm_irqs_off") return switch_mm(cpu, event);
        if (cpu.id() == Capture::kFlusherCpu) return write_back(cpu, event);
        if (workload_.is_told(event.task)) return workload_.obey(core, cpu);
        if (workload_.is_child(event.number("mm"))) run_child(cpu);
        if (workload_.child_exits(event)) return workload_.exit_child(cpu);
        if (const auto access = workload_.faulting_access(cpu, event)) {
            if (!inputs_.allows(Input::kOtherAgents))
                lockstep_.fail(cpu, "nobody but the operation accesses memory here");
            inputs_.count(Input::kOtherAgents);
            prepare_copy(cpu);
            return workload_.touch(core, cpu, *access);
        }
        lockstep_.fail(cpu, "nothing that this CPU does explains the event");
    }

    /// An entry that a fault is to copy has had its bits before: afterwards it must be the same.
    void prepare_copy(rmap::Cpu& cpu) {
        script_.for_rest_on(cpu.id(), [&](const CaptureEvent& event) {
            if (event.name == "ptep_clear_flush") prepare_inputs(cpu, event);
            return event.irq || event.name == "page_fault_user" ||
                   event.name == "handle_mm_fault" || event.name == "wp_page_copy";
        });
    }

    /// The child of a process whose address space no header lists, either: nobody has recorded that
    /// the scheduler has switched to it.
    void run_child(rmap::Cpu& cpu) {
        rmap::Mm& child = *workload_.child();
        if (machine_.flush().cpu_tlbstate(cpu.id()).loaded_mm.id == child.context.id) return;
        lockstep_.unrecorded(cpu, [&] { machine_.flush().switch_mm(cpu, &child.context); });
        machine_.task(cpu.id()).mm = &child;
        inputs_.count(Input::kScheduling);
    }

    /// When it does, and how far it comes until others go on, is given.
    void write_back(rmap::Cpu& cpu, const CaptureEvent& event) {
        if (event.name != "page_mkclean")
            lockstep_.fail(cpu, "the flusher thread had begun before the operation");
        inputs_.count(Input::kOtherAgents);
        lockstep_.as_stranger(cpu, [&] { workload_.write_back(cpu); });
    }

    void mark(models::CoreModule& core, rmap::Cpu& cpu, const CaptureEvent& event) {
        const auto text = event.text("text");
        if (text.rfind("OP_BEGIN", 0) != 0) {
            if (text.rfind("OP_END", 0) != 0) return lockstep_.pass_mark(cpu);
            if (!workload_.obeyed(cpu))
                lockstep_.fail(cpu, "what our child does for the operation is not here");
            const auto expected = fmt::format("OP_END ret={}", returned_);
            if (text != expected) lockstep_.fail(cpu, "ours is " + expected);
            return lockstep_.pass_mark(cpu);
        }
        if (&event == &capture_.events.front()) bind_generations(cpu);
        lockstep_.pass_mark(cpu);
        if (!workload_.reclaims()) {
            returned_ = workload_.operate(core, cpu);
            if (const rmap::Mm* child = workload_.child())
                bind_generation(cpu, child->context, 0);  // init_new_context()
            return;
        }
        ReclaimLists(script_, lockstep_, comparison_.bindings(), machine_.kernel(), inputs_, kGroup)
            .force_empty(cpu);
        returned_ = 1;  // byte that was written
    }

    void bind_generations(rmap::Cpu& cpu) {
        for (const auto& [theirs, generation] : capture_.generation_before) {
            bind_generation(cpu, workload_.mm_of(cpu, theirs).context, generation);
        }
    }

    void bind_generation(rmap::Cpu& cpu, const rmap::MmContext& mm, std::uint64_t theirs) {
        const auto ours = cpu.memory().load(mm.tlb_gen, rmap::Part::kUser).value;
        comparison_.bind_generation(mm.id, theirs, ours);
    }

    void switch_mm(rmap::Cpu& cpu, const CaptureEvent& event) {
        const rmap::Mm& next = workload_.mm_of(cpu, event.number("next"));
        inputs_.count(Input::kScheduling);
        const std::uint64_t prev = event.number("prev");
        // Only switches between two address spaces outside the scenario were not recorded.
        if (!capture_.mms.count(prev) && capture_.mms.count(loaded(cpu)))
            lockstep_.fail(cpu, "ours has an address space of the scenario loaded");
        // A CPU whose lazy mm was taken from it does not tell the scheduler.
        const auto& state = machine_.flush().cpu_tlbstate(cpu.id());
        if (!capture_.mms.count(prev) || state.loaded_mm.id == rmap::kInitMm)
            lockstep_.unrecorded(
                cpu, [&] { machine_.flush().switch_mm(cpu, &workload_.mm_of(cpu, prev).context); });
        const auto do_switch = [&] { machine_.flush().switch_mm(cpu, &next.context); };
        if (script_.has_task(event.task))
            do_switch();
        else
            lockstep_.as_stranger(cpu, do_switch);
        machine_.task(cpu.id()).mm = &workload_.mm_of(cpu, event.number("next"));
    }

    /// Whether the CPU that is asked is lazy is an input.
    void schedule(rmap::Cpu& cpu, const CaptureEvent& asks) {
        const auto target = static_cast<CpuId>(asks.number("target"));
        std::optional<std::uint64_t> answer;
        script_.for_rest_on(cpu.id(), [&](const CaptureEvent& event) {
            if (event.name == "tlb_is_not_lazy_ret") answer = event.number("ret");
            return !answer;
        });
        if (target == cpu.id() || target >= machine_.cpus() || !answer || *answer > 1) return;
        const bool lazy = *answer == 0;
        if (machine_.flush().cpu_tlbstate(target).is_lazy == lazy) return;
        lockstep_.do_elsewhere(cpu, target, [this, lazy](rmap::Cpu& there) {
            if (lazy)
                machine_.flush().enter_lazy_tlb(there);
            else
                come_back(there);
        });
        inputs_.count(Input::kScheduling);
    }

    /// A CPU that answers no for the first time, and then finds something to flush, had come back
    /// before the generation was raised: what it found out of date then it has flushed by itself.
    void come_back_in_time(rmap::Cpu& cpu) {
        std::size_t raised = 0;
        std::optional<CpuId> asked;
        script_.for_rest_on(cpu.id(), [&](const CaptureEvent& event) {
            if (raises_generation(event) && ++raised > 1) return false;
            if (event.name == "tlb_is_not_lazy") asked = static_cast<CpuId>(event.number("target"));
            if (event.name == "tlb_is_not_lazy_ret" && asked && *asked < machine_.cpus() &&
                event.number("ret") == 1 && has_to_flush(*asked))
                come_back_elsewhere(cpu, *asked);
            return event.name != "flush_tlb_others_ret";
        });
    }

    /// Whether the next interrupt that flushes on a CPU finds something to do.
    bool has_to_flush(CpuId cpu) const {
        bool has = false;
        script_.for_rest_on(cpu, [&](const CaptureEvent& event) {
            if (event.name != "tlb_flush" || !event.irq) return true;
            has = event.number("pages") != 0;
            return false;
        });
        return has;
    }

    void come_back_elsewhere(rmap::Cpu& cpu, CpuId target) {
        if (target == cpu.id() || !machine_.flush().cpu_tlbstate(target).is_lazy) return;
        lockstep_.do_elsewhere(cpu, target, [this](rmap::Cpu& there) { come_back(there); });
        inputs_.count(Input::kScheduling);
    }

    /// What our CPU has loaded, as the capture's mm.
    std::uint64_t loaded(const rmap::Cpu& cpu) {
        const auto id = machine_.flush().cpu_tlbstate(cpu.id()).loaded_mm.id;
        return comparison_.bindings().theirs(Identity::kMm, id);
    }

    /// A task of the scenario goes on: it has its address space loaded.
    void resume(rmap::Cpu& cpu) {
        if (!machine_.task(cpu.id()).mm) return;  // it exits, and has left its own
        come_back(cpu);
        // A child that was forked has its parent's name.
        const rmap::Mm* child = workload_.child();
        if (child && machine_.task(cpu.id()).mm == child) return;
        const auto mm = capture_.mm_of_task(script_.next().task);
        if (mm && mm != loaded(cpu))
            lockstep_.fail(cpu, "ours has another address space loaded than this task's");
    }

    /// The task of a CPU runs again after the idle task.
    void come_back(rmap::Cpu& cpu) {
        if (!machine_.flush().cpu_tlbstate(cpu.id()).is_lazy) return;
        const auto loaded = machine_.flush().cpu_tlbstate(cpu.id()).loaded_mm;
        machine_.flush().switch_mm(cpu, &loaded);
    }

    /// Whether a fault gets the lock of its page is an input: one that is followed by the same
    /// fault did not, so somebody else had it.
    void lose_race(rmap::Cpu& cpu, const CaptureEvent& fault) {
        if (fault.name != "do_swap_page" || !is_tried_again(cpu.id(), fault)) return;
        const rmap::Page* page = workload_.cached_page(cpu, fault);
        if (!page) return;
        for (unsigned i = 0; i < kPatience && !lockstep_.over(); ++i) {
            if (rmap::page_locked(cpu, *page)) return inputs_.count(Input::kResults);
            cpu.spend(kLook, rmap::Part::kIdle);
        }
    }

    bool is_tried_again(CpuId cpu, const CaptureEvent& fault) const {
        bool again = false;
        script_.for_rest_on(cpu, [&](const CaptureEvent& event) {
            if (event.irq) return true;
            again = event.name == fault.name && event.number("vma") == fault.number("vma");
            return false;
        });
        return again;
    }

    /// Whether a switch that flushes may have been left out since a generation was raised: then a
    /// number of the one order of all events is missing.
    bool is_left_out_before(const CaptureEvent& event) const {
        const auto left_out = capture_.left_out.find("tlb_flush");
        if (left_out == capture_.left_out.end() || left_out->second == 0) return false;
        const CaptureEvent* const first = &capture_.events.front();
        for (const CaptureEvent* at = &event; at != first && !raises_generation(*at); --at)
            if (at[0].t > at[-1].t + 1) return true;
        return false;
    }

    /// An interrupt that finds nothing to flush on a CPU that is behind: its task had slept since,
    /// which shows nowhere else.
    void catch_up_if_told(rmap::Cpu& cpu) {
        if (lockstep_.over()) return;
        const CaptureEvent* finds = nullptr;
        script_.for_rest_on(cpu.id(), [&](const CaptureEvent& event) {
            if (event.name != "tlb_flush") return event.irq;
            if (event.irq && event.number("pages") == 0) finds = &event;
            return false;
        });
        const auto& state = machine_.flush().cpu_tlbstate(cpu.id());
        if (!finds || state.is_lazy || state.loaded_mm.id == rmap::kInitMm) return;
        if (!is_left_out_before(*finds)) return;
        lockstep_.unrecorded(cpu, [&] {
            machine_.flush().enter_lazy_tlb(cpu);
            come_back(cpu);
        });
        inputs_.count(Input::kScheduling);
    }

    /// Accessed and dirty bits are inputs until they have been read once, and whenever somebody of
    /// the scenario uses the page.
    void prepare_inputs(rmap::Cpu& cpu, const CaptureEvent& next) {
        if (next.name == "tlb_is_not_lazy") return schedule(cpu, next);
        if (raises_generation(next)) come_back_in_time(cpu);
        if (!reads_bits(next)) return;
        // What was done to pages that are not of the target is not known from the arguments.
        if (capture_.target.contains({next.number("addr")}) && !inputs_.allows(Input::kBits))
            return;
        const rmap::Mm& mm = workload_.mm_of(cpu, next.number("mm"));
        const auto slot = rmap::find_pte(cpu, machine_.kernel().state(), mm, {next.number("addr")},
                                         rmap::Part::kUser);
        if (!slot) return;
        const std::uint64_t theirs = next.number("pte");
        const rmap::Pte ours{rmap::read_pte(cpu, slot->ptep, rmap::Part::kUser).value};
        if (!ours.present() || !rmap::Pte{theirs}.present()) return;
        std::uint64_t wrong = (ours.raw() ^ theirs) & kHardwareBits;
        // Nobody writes through an entry that does not allow it, and no hardware makes pages clean.
        if (ours.dirty() || !ours.writable()) wrong &= ~rmap::Pte::kDirty;
        if (!wrong) return;
        rmap::pte_clear_bits(cpu, slot->ptep, wrong & ours.raw(), rmap::Part::kUser);
        rmap::pte_set_bits(cpu, slot->ptep, wrong & theirs);
        inputs_.count(Input::kBits);
    }

    const Capture& capture_;
    const PlatformConfig platform_;
    Script script_;
    Comparison comparison_;
    Visibility visibility_;
    Lockstep lockstep_;
    ConformMachine machine_;
    Workload workload_;
    Inputs inputs_;
    std::int64_t returned_ = 0;
};

}  // namespace

ConformResult conform(const Capture& capture, const PlatformConfig& platform) {
    return Replay(capture, platform).run();
}

}  // namespace mmusim::platform
