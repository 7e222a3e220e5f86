// SPDX-License-Identifier: Apache-2.0
#include "platform/run/core_program.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"

namespace mmusim::platform {

namespace {

constexpr std::uint64_t kAccessesPerLook = 64;  ///< between two looks at the rendezvous

}  // namespace

void CoreProgram::handle_interrupt(models::CoreModule&, const rmap::TakenInterrupt& taken) {
    kernel_.calls->handle_interrupt(*kernel_.cpu, taken);
}

void CoreProgram::run(models::CoreModule& core) {
    kernel_.cpu->current = &kernel_.task;
    core.maintain(kernel_.cr3, {}, rmap::Part::kSwitch);
    if (kernel_.task.mm) core.label_address_space(kernel_.task.mm->context.id);
    if (operation_)
        operation_(*kernel_.cpu);
    else if (thread_)
        run_user(core);
    finished_at_ = core.time().local_now();
}

void CoreProgram::run_user(models::CoreModule& core) {
    rmap::Cpu& cpu = *kernel_.cpu;
    Rendezvous& rendezvous = *kernel_.rendezvous;
    UserThread& thread = *thread_;
    std::vector<std::uint64_t> answered(rendezvous.operations(), 0);
    std::uint64_t done = 0;
    while (!rendezvous.all_finished(cpu)) {
        answer_requests(core, answered);
        const std::uint64_t left = thread.limit ? thread.limit - done : kAccessesPerLook;
        if (thread.accesses.empty() || left == 0) {
            cpu.spend(Rendezvous::kPoll, rmap::Part::kUser);
            continue;
        }
        const auto burst = std::min<std::uint64_t>(left, kAccessesPerLook);
        for (std::uint64_t i = 0; i < burst; ++i) {
            const auto next = thread.accesses.next();
            access(core, next.address, next.kind);
        }
        done += burst;
    }
}

void CoreProgram::answer_requests(models::CoreModule& core, std::vector<std::uint64_t>& answered) {
    Rendezvous& rendezvous = *kernel_.rendezvous;
    for (unsigned operation = 0; operation < rendezvous.operations(); ++operation) {
        const auto requests = rendezvous.requests(*kernel_.cpu, operation);
        while (answered[operation] < requests) {
            for (const auto& touch : thread_->touched(operation, ++answered[operation]))
                for (auto page = touch.range.start; page < touch.range.end;
                     page = page + rmap::kPageSize)
                    access(core, page, touch.access);
            rendezvous.answer(*kernel_.cpu, operation);
        }
    }
}

/// The instruction is repeated until its page is there.
void CoreProgram::access(models::CoreModule& core, rmap::VirtAddr address, rmap::Access kind) {
    while (core.access(address, kind, thread_->access_time) != rmap::Fault::kNone) {
        const auto result =
            kernel_.kernel->handle_page_fault(*kernel_.cpu, *thread_->mm, address, kind);
        MMUSIM_CHECK(result == rmap::FaultResult::kHandled,
                     "a thread of the scenario accesses only what is mapped");
    }
}

}  // namespace mmusim::platform
