// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/recording_client.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::Event;
using rmap::Generation;
using rmap::MmId;
using rmap::NotifierRange;
using rmap::PageNumber;
using rmap::Pte;
using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

/// First page that is not in the range. A range up to the top may end inside a page.
PageNumber past_the_end(VirtRange range) {
    const PageNumber last = rmap::page_of(range.end);
    return rmap::address_of(last) == range.end ? last : last + 1;
}

}  // namespace

const RecordingClient::Shadow& RecordingClient::shadow(MmId mm) const {
    static const Shadow kNothing;
    const auto it = shadows_.find(mm);
    return it == shadows_.end() ? kNothing : it->second;
}

void RecordingClient::note(const Cpu& cpu, Op op, MmId mm, VirtRange range) {
    ++counts_[static_cast<std::size_t>(op)];
    if (config_.keep == Keep::kCalls) calls_.push_back({op, mm, range, cpu.now()});
}

void RecordingClient::forget(Shadow& shadow, VirtRange range) {
    shadow.young.erase(shadow.young.lower_bound(rmap::page_of(range.start)),
                       shadow.young.lower_bound(past_the_end(range)));
}

void RecordingClient::emit_count(Cpu& cpu, MmId mm, const Shadow& shadow) {
    cpu.emit(Event::kClientCount, {config_.id, mm, shadow.active, shadow.sequence});
}

void RecordingClient::release(Cpu& cpu, MmId mm) {
    lock_.lock(cpu);
    note(cpu, Op::kRelease, mm, rmap::kAllAddresses);
    Shadow& shadow = shadows_[mm];
    shadow.released = true;
    forget(shadow, rmap::kAllAddresses);
    lock_.unlock(cpu);
}

bool RecordingClient::must_refuse(const Shadow& shadow, const NotifierRange& range) const {
    return config_.needs_sleep && !range.blockable &&
           shadow.young.lower_bound(rmap::page_of(range.range.start)) !=
               shadow.young.lower_bound(past_the_end(range.range));
}

StartResult RecordingClient::invalidate_range_start(Cpu& cpu, const NotifierRange& range) {
    const auto [start, end] = range.range;
    lock_.lock(cpu);
    Shadow& shadow = shadows_[range.mm];
    if (must_refuse(shadow, range)) {
        ++refused_starts_;
        lock_.unlock(cpu);
        return StartResult::kTryAgain;
    }
    cpu.emit(Event::kClientStart, {config_.id, range.mm, start.value, end.value});
    note(cpu, Op::kStart, range.mm, range.range);
    // Counted before anything is forgotten, in one hold of the lock: from here on record_access
    // refuses (N9).
    ++shadow.active;
    emit_count(cpu, range.mm, shadow);
    forget(shadow, range.range);
    cpu.emit(Event::kClientZapped, {config_.id, range.mm, start.value, end.value});
    lock_.unlock(cpu);
    cpu.emit(Event::kClientStartRet, {config_.id, range.mm, start.value, end.value});
    return StartResult::kDone;
}

void RecordingClient::invalidate_range_end(Cpu& cpu, const NotifierRange& range) {
    const auto [start, end] = range.range;
    lock_.lock(cpu);
    note(cpu, Op::kEnd, range.mm, range.range);
    Shadow& shadow = shadows_[range.mm];
    ++shadow.sequence;  // before the count, or an access between the two would pass (N8)
    if (shadow.active > 0) --shadow.active;
    emit_count(cpu, range.mm, shadow);
    lock_.unlock(cpu);
    cpu.emit(Event::kClientEnd, {config_.id, range.mm, start.value, end.value});
}

void RecordingClient::invalidate_range(Cpu& cpu, MmId mm, VirtRange range) {
    lock_.lock(cpu);
    note(cpu, Op::kInvalidateRange, mm, range);
    forget(shadows_[mm], range);
    lock_.unlock(cpu);
}

bool RecordingClient::clear_flush_young(Cpu& cpu, MmId mm, VirtRange range) {
    return age(cpu, Op::kClearFlushYoung, mm, range);
}

bool RecordingClient::clear_young(Cpu& cpu, MmId mm, VirtRange range) {
    return age(cpu, Op::kClearYoung, mm, range);
}

void RecordingClient::change_pte(Cpu& cpu, MmId mm, VirtAddr address, Pte, Generation) {
    const VirtRange range{address, address + rmap::kPageSize};
    lock_.lock(cpu);
    note(cpu, Op::kChangePte, mm, range);
    Shadow& shadow = shadows_[mm];
    ++shadow.sequence;
    emit_count(cpu, mm, shadow);
    forget(shadow, range);
    lock_.unlock(cpu);
}

bool RecordingClient::age(Cpu& cpu, Op op, MmId mm, VirtRange range) {
    lock_.lock(cpu);
    note(cpu, op, mm, range);
    bool any = false;
    auto& young = shadows_[mm].young;
    const auto end = young.lower_bound(past_the_end(range));
    for (auto it = young.lower_bound(rmap::page_of(range.start)); it != end; ++it) {
        any = any || it->second;
        it->second = false;
    }
    lock_.unlock(cpu);
    return any;
}

std::uint64_t RecordingClient::sequence(Cpu& cpu, MmId mm) {
    lock_.lock(cpu);
    const std::uint64_t sequence = shadows_[mm].sequence;
    lock_.unlock(cpu);
    return sequence;
}

RecordingClient::Recorded RecordingClient::record_access(Cpu& cpu, MmId mm, VirtAddr address,
                                                         std::uint64_t sequence) {
    lock_.lock(cpu);
    Shadow& shadow = shadows_[mm];
    const bool current = !shadow.released && shadow.active == 0 && shadow.sequence == sequence;
    if (current) shadow.young[rmap::page_of(address)] = true;
    lock_.unlock(cpu);
    return current ? Recorded::kYes : Recorded::kRetry;
}

}  // namespace mmusim::notifiers
