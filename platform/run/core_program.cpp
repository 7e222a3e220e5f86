// SPDX-License-Identifier: Apache-2.0
#include "platform/run/core_program.hpp"

#include "rmap/mm/mm.hpp"

namespace mmusim::platform {

void CoreProgram::handle_interrupt(models::CoreModule&, const rmap::TakenInterrupt& taken) {
    kernel_.calls->handle_interrupt(*kernel_.cpu, taken);
}

void CoreProgram::run(models::CoreModule& core) {
    kernel_.cpu->current = &kernel_.task;
    core.maintain(kernel_.cr3, {}, rmap::Part::kSwitch);
    if (kernel_.task.mm) core.label_address_space(kernel_.task.mm->context.id);
    if (job_) job_(core, *kernel_.cpu);
    finished_at_ = core.time().local_now();
}

}  // namespace mmusim::platform
