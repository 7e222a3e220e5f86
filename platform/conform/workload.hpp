// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "platform/conform/bindings.hpp"
#include "platform/conform/capture.hpp"
#include "platform/conform/conform_machine.hpp"
#include "platform/conform/frame_layout.hpp"
#include "platform/conform/program_memory.hpp"
#include "platform/conform/strangers.hpp"
#include "platform/conform/workload_arguments.hpp"
#include "rmap/mm/address_space.hpp"

namespace mmusim::platform {

/// Our copy of the program that was captured: its processes and threads on our machine, from the
/// first mapping to the last touch before the operation, and the operation itself.
class Workload {
public:
    Workload(const Capture& capture, const WorkloadArguments& arguments, ConformMachine& machine,
             Bindings& bindings);

    /// One step of the preparation, on the CPU of whoever does it.
    struct Step {
        rmap::CpuId cpu = 0;
        std::function<void(models::CoreModule&, rmap::Cpu&)> run;
    };
    const std::vector<Step>& preparation() const { return steps_; }

    /// Does the operation once, on its CPU, and returns what the program reports: a count, 0, or a
    /// negative error number.
    std::int64_t operate(models::CoreModule& core, rmap::Cpu& cpu);
    /// CPU of whoever operates.
    rmap::CpuId operator_cpu() const { return operator_().cpu; }
    /// Whether the operation has told a child to do something, and this task of the capture is it.
    bool is_told(const std::string& task) const { return !told_.empty() && told_ == task; }
    /// The child does it, on its CPU, and nobody waits for it any more.
    void obey(models::CoreModule& core, rmap::Cpu& cpu);
    /// When the operation is over. A child that has not begun to obey, because what it does shows
    /// no event, had no work. False: it would have had, or has not ended.
    bool obeyed(rmap::Cpu& cpu);

    /// The child that fork(2) has made for the operation; nullptr: none, or it has exited.
    rmap::Mm* child() const { return child_; }
    /// Whether an address space of the capture is that child's.
    bool is_child(std::uint64_t theirs) const { return child_ && forked_.count(theirs) != 0; }
    /// Whether the child begins to exit.
    bool child_exits(const CaptureEvent& event) const {
        return is_exit(event) && is_child(event.number("mm"));
    }
    void exit_child(rmap::Cpu& cpu);

    /// A flusher thread writes the file of the target back.
    void write_back(rmap::Cpu& cpu);

    /// Whether `operate` replays the capture's lists (reclaim).
    bool reclaims() const { return arguments_.op == "reclaim"; }

    /// What a CPU must have accessed to begin with this event; none: it is not of a page fault.
    struct UserAccess {
        rmap::Mm* mm = nullptr;
        rmap::VirtAddr address{};
        rmap::Access kind{};
    };
    std::optional<UserAccess> faulting_access(rmap::Cpu& cpu, const CaptureEvent& event);
    /// The page that a fault will find in the swap cache.
    const rmap::Page* cached_page(rmap::Cpu& cpu, const CaptureEvent& fault);
    /// Tries until it succeeds, or until the task would be sent a signal.
    void touch(models::CoreModule& core, rmap::Cpu& cpu, const UserAccess& access);
    /// Why the last access of a CPU that failed did.
    rmap::Fault last_fault(rmap::CpuId cpu) const {
        const auto found = last_fault_.find(cpu);
        return found == last_fault_.end() ? rmap::Fault::kNone : found->second;
    }

    /// Our address space for one of the capture's; one that the scenario does not name is made.
    rmap::Mm& mm_of(rmap::Cpu& cpu, std::uint64_t theirs);

private:
    static constexpr rmap::CpuId kLastCpu = 3;   ///< more processes and threads than CPUs share it
    static constexpr unsigned kTargetGroup = 1;  ///< memory cgroup /t
    static rmap::CpuId next_cpu(rmap::CpuId cpu) { return cpu < kLastCpu ? cpu + 1 : kLastCpu; }

    struct Member {
        std::string name;
        rmap::CpuId cpu = 0;
        rmap::Mm* mm = nullptr;
    };

    static bool is_exit(const CaptureEvent& event);
    std::set<std::uint64_t> find_forked() const;
    std::int64_t fork(rmap::Cpu& cpu);
    std::optional<rmap::VirtAddr> copied_page(const CaptureEvent& event) const;
    /// The task that the CPU runs is the last one of the mm.
    void exit(rmap::Cpu& cpu, rmap::Mm& mm);
    std::int64_t operate_on_file(rmap::Cpu& cpu);
    std::int64_t operate_on_range(models::CoreModule& core, rmap::Cpu& cpu, rmap::VirtRange range);
    std::int64_t move(rmap::Cpu& cpu);
    std::int64_t migrate_pages(rmap::Cpu& cpu);
    std::int64_t page_idle(rmap::Cpu& cpu, bool set);
    void clear_refs(rmap::Cpu& cpu, rmap::ClearRefs type);
    void map_target(models::CoreModule& core, rmap::Cpu& cpu);

    void plan();
    void plan_main();
    void plan_rec();
    void plan_target();
    void plan_children();
    void plan_preparation();
    void plan_marks();
    void plan_madvise_free();
    void plan_protect_and_back();
    void plan_touch_all(rmap::Access access);
    void plan_threads();
    void plan_refault();
    void plan_last_touches();
    void plan_private_copies();
    void plan_rewrites(const std::vector<std::string>& others);
    void plan_group();
    void plan_drain();
    void plan_cpu_states();
    void plan_bindings();
    std::string name_of(std::uint64_t theirs) const;

    std::uint64_t flags_of(const ProgramArea& area) const;
    void map_program(models::CoreModule& core, rmap::Cpu& cpu);
    void map_program_area(models::CoreModule& core, rmap::Cpu& cpu, rmap::MmapRequest request);
    void plan_program();
    const std::map<rmap::VirtAddr, std::uint64_t>& program_ptes(const std::string& name) const;
    const std::map<rmap::VirtAddr, rmap::Access>& sure_pages(const std::string& name) const;
    bool is_present(rmap::Cpu& cpu, rmap::Mm& mm, rmap::VirtAddr address);
    void match_presence(models::CoreModule& core, rmap::Cpu& cpu, const std::string& name);
    void match_copies(models::CoreModule& core, rmap::Cpu& cpu, const std::string& name);
    void match_bits(rmap::Cpu& cpu, const std::string& name);

    void map_strangers(models::CoreModule& core, rmap::Cpu& cpu);
    void read_stranger(rmap::Cpu& cpu, const Stranger& stranger);
    bool cpu_of_sleeper(rmap::CpuId cpu) const;
    void bind_page(rmap::Cpu& cpu, rmap::Mm& mm, rmap::VirtAddr address, std::uint64_t theirs);
    void charge(rmap::Cpu& cpu, rmap::Mm& mm, rmap::VirtRange range);
    void step(rmap::CpuId cpu, std::function<void(models::CoreModule&, rmap::Cpu&)> run);
    /// A step of a process: its mm is loaded on its CPU first.
    void act(const std::string& member, std::function<void(models::CoreModule&, rmap::Cpu&)> run);
    void run_as(const Member& member, rmap::Cpu& cpu);

    void touch(models::CoreModule& core, rmap::Cpu& cpu, rmap::Mm& mm, rmap::VirtAddr address,
               rmap::Access access) {
        touch(core, cpu, {&mm, address, access});
    }
    std::optional<rmap::VirtAddr> swapped_page(rmap::Cpu& cpu, const CaptureEvent& event);
    void touch_all(models::CoreModule& core, rmap::Cpu& cpu, rmap::Mm& mm, rmap::Access access);
    void touch_first(models::CoreModule& core, rmap::Cpu& cpu, rmap::Access access);

    /// Of the n-th process that maps the target; 0 is main.
    static std::string process_name(unsigned n) { return n ? "p" + std::to_string(n) : "main"; }
    Member& member(const std::string& name);
    const Member& operator_() const;
    rmap::Mm& main_mm() { return *member("main").mm; }
    bool anonymous() const { return arguments_.kind == "anon" || arguments_.kind == "filepriv"; }

    const Capture& capture_;
    const WorkloadArguments arguments_;
    ConformMachine& machine_;
    Bindings& bindings_;
    FrameLayout frames_;
    std::map<rmap::CpuId, rmap::Fault> last_fault_;
    std::vector<Member> members_;  ///< rec, main, p1, p2 ...
    std::map<std::uint64_t, rmap::Mm*> strangers_;
    const ProgramMemory program_;
    const Cast cast_;
    rmap::AddressSpace* file_ = nullptr;
    rmap::AddressSpace* other_file_ = nullptr;  ///< of the strangers
    std::vector<Step> steps_;
    const std::set<std::uint64_t> forked_;  ///< the capture's mms that children of fork(2) have
    rmap::Mm* child_ = nullptr;
    std::string told_;  ///< a child that is to do its part of the operation
    bool obeying_ = false;
};

}  // namespace mmusim::platform
