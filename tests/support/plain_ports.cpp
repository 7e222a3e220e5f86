// SPDX-License-Identifier: Apache-2.0
#include "tests/support/plain_ports.hpp"

#include <algorithm>
#include <iterator>

#include "rmap/types/check.hpp"

namespace mmusim::test {

using rmap::Duration;
using rmap::Instant;
using rmap::Interrupts;
using rmap::Part;
using rmap::PhysAddr;
using rmap::TlbOperation;
using rmap::Word;

void PlainTime::spend(Duration cost, Part part) {
    now_ += cost;
    charged_[part] += cost;
    account_.charge(part, cost);
}

Interrupts PlainTime::set_interrupts(Interrupts state) {
    const Interrupts before = interrupts_;
    interrupts_ = state;
    const bool switched_on = before == Interrupts::kOff && state == Interrupts::kOn;
    if (switched_on && interrupts_on) interrupts_on();
    return before;
}

void PlainTime::await(rmap::Completion& result, Part part) {
    if (!result.known() && while_waiting) while_waiting();
    MMUSIM_CHECK(result.known(), "nobody is left who could complete this");
    result.partition(now_, result.at(), part,
                     [&](Part stage, Duration cost) { spend(cost, stage); });
}

void PlainTime::idle_until(Instant to) { spend(rmap::time_until(now_, to), Part::kIdle); }

Word PlainMemory::load(PhysAddr address, Part part) {
    time_.spend(words_.access_cost, part);
    words_.note({time_.actor(), PlainWords::Access::Kind::kLoad, address, time_.local_now()});
    return words_[address];
}

Word PlainMemory::read_modify_write(PhysAddr address, Apply apply, Part part) {
    time_.spend(words_.access_cost, part);
    words_.note(
        {time_.actor(), PlainWords::Access::Kind::kReadModifyWrite, address, time_.local_now()});
    const Word old = words_[address];
    const Word changed = apply(old, time_.local_now());
    words_[address] = changed;
    return old;
}

void RecordingTlb::execute(const TlbOperation& operation, Part part) {
    time_.spend(cost_, part);
    operations.push_back(operation);
    if (on_execute) on_execute(operation);
}

std::vector<TlbOperation> RecordingTlb::of_kind(TlbOperation::Kind kind) const {
    std::vector<TlbOperation> result;
    std::copy_if(operations.begin(), operations.end(), std::back_inserter(result),
                 [&](const TlbOperation& operation) { return operation.kind == kind; });
    return result;
}

void PlainIommu::set_queue(PhysAddr base, std::uint64_t bytes) {
    base_ = base;
    bytes_ = bytes;
    head_ = tail_ = 0;
}

void PlainIommu::execute() {
    Part part = Part::kIotlb;
    for (; head_ != tail_; head_ = (head_ + rmap::QiDescriptor::kBytes) % bytes_) {
        const rmap::QiDescriptor descriptor{words_[base_ + head_].value,
                                            words_[base_ + head_ + 8].value};
        executed.push_back(descriptor);
        if (on_execute) on_execute(descriptor);
        if (descriptor.type() == rmap::QiType::kPasidDeviceTlb) part = Part::kAtc;
        if (descriptor.type() == rmap::QiType::kInvalidationWait)
            words_[descriptor.status_address()] = {descriptor.status_data(), 0};
    }
    for (const Pending& pending : pending_) {
        pending.write_back->stage(Part::kIommuQueue, pending.at + queue);
        pending.write_back->stage(part, pending.at + queue + invalidate);
        pending.write_back->complete(pending.at + queue + invalidate + write_back);
    }
    pending_.clear();
}

void RecordingIommu::write_queue_tail(std::uint64_t tail, rmap::Completion& write_back, Part part) {
    time_.spend(unit_.tail_write, part);
    unit_.tail_writes.push_back({time_.actor(), tail, time_.local_now()});
    unit_.tail_ = tail;
    unit_.pending_.push_back({time_.local_now(), &write_back});
    if (unit_.at_once) unit_.execute();
}

void RecordingInterrupts::send_ipi(const rmap::CpuMask& targets, rmap::Vector vector, Part part) {
    time_.spend(cost_, part);
    sent.push_back({targets, vector, time_.local_now(), account_.current()});
    // A handler may send as well, and so move the record.
    const Sent last = sent.back();
    if (deliver) deliver(last);
}

}  // namespace mmusim::test
