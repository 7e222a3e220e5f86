// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/intel_svm/queued_invalidation.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::Completion;
using rmap::Cpu;
using rmap::Event;
using rmap::Part;
using rmap::PhysAddr;
using rmap::QiDescriptor;
using rmap::VirtRange;

namespace {

std::uint64_t checked_entries(std::uint64_t entries) {
    MMUSIM_CHECK(entries >= 4 && (entries & (entries - 1)) == 0 &&
                     entries * QiDescriptor::kBytes <= rmap::kPageSize,
                 "an invalidation queue has a power of two of slots that fit into a frame");
    return entries;
}

}  // namespace

QueuedInvalidation::QueuedInvalidation(const Config& config, rmap::FrameAllocator& frames)
    : config_(config),
      queue_(address_of(frames.allocate_frame())),
      desc_status_(address_of(frames.allocate_frame())),
      q_lock_(frames.allocate_line()),
      free_cnt_(checked_entries(config.entries)) {}

/// One slot always stays free, or a full ring would look like an empty one.
bool QueuedInvalidation::has_room(Cpu& cpu) {
    if (!waits()) reclaim_unawaited(cpu);
    return free_cnt_ >= 3;
}

QueuedInvalidation::Status QueuedInvalidation::status(Cpu& cpu, std::uint64_t slot, Part part) {
    return static_cast<Status>(cpu.memory().load(status_word(slot), part).value);
}

void QueuedInvalidation::set_status(Cpu& cpu, std::uint64_t slot, Status status) {
    cpu.memory().store(status_word(slot), {static_cast<std::uint64_t>(status), 0},
                       Part::kIommuSubmit);
}

void QueuedInvalidation::write_descriptor(Cpu& cpu, std::uint64_t slot,
                                          const QiDescriptor& descriptor) {
    const PhysAddr at = queue_ + slot * QiDescriptor::kBytes;
    cpu.spend(cpu.costs().qi_descriptor, Part::kIommuSubmit);
    cpu.memory().store(at, {descriptor.low, 0}, Part::kIommuSubmit);
    cpu.memory().store(at + 8, {descriptor.high, 0}, Part::kIommuSubmit);
}

/// Frees slots in the order of the ring, up to the first one that somebody still waits for.
void QueuedInvalidation::reclaim_free_desc(Cpu& cpu) {
    while (status(cpu, free_tail_, Part::kIommuSubmit) == Status::kDone) {
        set_status(cpu, free_tail_, Status::kFree);
        free_tail_ = slot_after(free_tail_);
        ++free_cnt_;
    }
}

/// What nobody came back for after its wait descriptor was complete.
void QueuedInvalidation::reclaim_unawaited(Cpu& cpu) {
    while (status(cpu, slot_after(free_tail_), Part::kIommuSubmit) == Status::kDone) {
        set_status(cpu, free_tail_, Status::kDone);
        reclaim_free_desc(cpu);
    }
}

/// A completion that outlives its submission: the unit still makes it known. Those that it has
/// made known are forgotten.
Completion& QueuedInvalidation::unawaited(Cpu& cpu) {
    while (!unawaited_.empty() && unawaited_.front().known()) unawaited_.pop_front();
    return unawaited_.emplace_back(cpu.time());
}

void QueuedInvalidation::qi_submit_sync(Cpu& cpu, const QiDescriptor& descriptor) {
    for (;;) {  // others reclaim their slots as soon as they have their answers
        const rmap::InterruptsOff irqsave(cpu.time());
        q_lock_.lock(cpu);
        if (has_room(cpu)) return submit_locked(cpu, descriptor);
        q_lock_.unlock(cpu);
    }
}

/// Drops q_lock.
void QueuedInvalidation::submit_locked(Cpu& cpu, const QiDescriptor& descriptor) {
    const std::uint64_t sequence = ++sequence_;
    const VirtRange range = descriptor.range();
    cpu.emit(Event::kQiSubmit, {sequence, static_cast<std::uint64_t>(descriptor.type()),
                                descriptor.pasid(), range.start.value, range.end.value});

    const std::uint64_t index = free_head_;
    const std::uint64_t wait_index = slot_after(index);
    set_status(cpu, wait_index, Status::kInUse);
    set_status(cpu, index, Status::kInUse);
    write_descriptor(cpu, index, descriptor);
    write_descriptor(
        cpu, wait_index,
        QiDescriptor::wait(status_word(wait_index), static_cast<std::uint32_t>(Status::kDone)));
    free_head_ = slot_after(wait_index);
    free_cnt_ -= 2;

    Completion own(cpu.time());
    Completion& done = waits() ? own : unawaited(cpu);
    cpu.iommu().write_queue_tail(free_head_ * QiDescriptor::kBytes, done, Part::kIommuSubmit);
    cpu.emit(Event::kQiTail, {sequence});
    if (waits()) {
        q_lock_.unlock(cpu);
        cpu.time().await(done, Part::kIommuWait);
        q_lock_.lock(cpu);
        MMUSIM_CHECK(status(cpu, wait_index, Part::kIommuWait) == Status::kDone,
                     "the status is visible to whoever awaited its write");
        set_status(cpu, index, Status::kDone);
        reclaim_free_desc(cpu);
    }
    q_lock_.unlock(cpu);
    cpu.emit(Event::kQiSubmitRet, {sequence});
}

}  // namespace mmusim::notifiers
