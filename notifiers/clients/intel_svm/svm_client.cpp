// SPDX-License-Identifier: Apache-2.0
#include "notifiers/clients/intel_svm/svm_client.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::AtsRange;
using rmap::Cpu;
using rmap::Event;
using rmap::Generation;
using rmap::InjectedFault;
using rmap::MmId;
using rmap::Pte;
using rmap::QiDescriptor;
using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

/// Order of the whole 64-bit address space.
constexpr unsigned kEverything = 64 - rmap::kPageShift;

/// Number of bits of `value`: 0 for 0, 1 for 1, 2 for 2 and 3.
unsigned bit_width(std::uint64_t value) {
    unsigned width = 0;
    for (; value; value >>= 1) ++width;
    return width;
}

/// Rounded up, as the kernel does. The gather of a whole mm asks for ~0..~0 (hazard HZ16): no page,
/// whose roundup_pow_of_two() is undefined and, with x86's shift instruction, 1.
std::uint64_t pages_of(VirtRange range) {
    if (range.start == rmap::kAllAddresses.end) return 1;
    const std::uint64_t bytes = range.end - range.start;
    MMUSIM_CHECK(range.start < range.end, "an invalidation has a range");
    return (bytes - 1) / rmap::kPageSize + 1;
}

/// ilog2(roundup_pow_of_two(pages))
unsigned address_mask_of(std::uint64_t pages) { return bit_width(pages - 1); }

/// The smallest aligned power of two that contains `pages` from `start` on.
unsigned device_tlb_order(rmap::VirtAddr start, std::uint64_t pages) {
    const std::uint64_t first = rmap::page_of(start).value;
    return bit_width(first ^ (first + (pages - 1)));
}

}  // namespace

NotifierOps SvmClient::ops() const {
    NotifierOps ops;
    ops.release = true;
    ops.invalidate_range = true;
    ops.change_pte = true;
    return ops;
}

void SvmClient::bind_device(Cpu& cpu, VtdTableBuilder& tables, const VtdDevice& device) {
    devices_.push_back({device, tables.bind(cpu, device, config_.pasid, config_.pgd)});
}

void SvmClient::emit(Cpu& cpu, Event event, VirtRange range) const {
    cpu.emit(event, {config_.id, config_.mm, range.start.value, range.end.value});
}

/// By address whatever the size: the kernel does not ask the unit for its largest address mask.
SvmClient::Flush SvmClient::flush_of(VirtRange range, QiDescriptor::Hint hint) const {
    const std::uint64_t pages = pages_of(range);
    return {
        QiDescriptor::pasid_iotlb_pages(config_.pasid, range.start, address_mask_of(pages), hint),
        AtsRange::encode(range.start, device_tlb_order(range.start, pages))};
}

/// pages == -1, which only the release of the process asks for.
SvmClient::Flush SvmClient::flush_of_pasid() const {
    return {QiDescriptor::pasid_iotlb_all(config_.pasid), AtsRange::encode({}, kEverything)};
}

void SvmClient::flush_device_tlb(Cpu& cpu, const VtdDevice& device, const Flush& flush) {
    if (!device.ats) return;
    queue_.qi_submit_sync(
        cpu, QiDescriptor::pasid_device_tlb(device.source, config_.pasid, flush.device_tlb));
}

/// intel_flush_svm_range_dev(). A device TLB is filled through the IOTLB, so it comes last.
void SvmClient::flush_svm_range_dev(Cpu& cpu, const VtdDevice& device, const Flush& flush) {
    const bool wrong_order = config_.fault == InjectedFault::kAtcBeforeIotlb;
    if (wrong_order) flush_device_tlb(cpu, device, flush);
    queue_.qi_submit_sync(cpu, flush.iotlb);
    if (!wrong_order) flush_device_tlb(cpu, device, flush);
}

void SvmClient::flush_svm_range(Cpu& cpu, VirtRange range, QiDescriptor::Hint hint) {
    emit(cpu, Event::kClientInvalidate, range);
    const Flush flush = flush_of(range, hint);
    for (const Bound& bound : devices_) flush_svm_range_dev(cpu, bound.device, flush);
    emit(cpu, Event::kClientInvalidateRet, range);
}

void SvmClient::invalidate_range(Cpu& cpu, MmId mm, VirtRange range) {
    MMUSIM_CHECK(mm == config_.mm, "a client of this kind watches one process");
    flush_svm_range(cpu, range, QiDescriptor::Hint::kNone);
}

void SvmClient::change_pte(Cpu& cpu, MmId mm, VirtAddr address, Pte, Generation) {
    MMUSIM_CHECK(mm == config_.mm, "a client of this kind watches one process");
    flush_svm_range(cpu, {address, address + rmap::kPageSize}, QiDescriptor::Hint::kLeafOnly);
}

void SvmClient::release(Cpu& cpu, MmId mm) {
    MMUSIM_CHECK(mm == config_.mm, "a client of this kind watches one process");
    emit(cpu, Event::kClientInvalidate, rmap::kAllAddresses);
    const Flush flush = flush_of_pasid();
    for (const Bound& bound : devices_) {
        clear_pasid_entry(cpu, bound.pasid_entry);
        queue_.qi_submit_sync(cpu, QiDescriptor::pasid_cache(config_.pasid));
        flush_svm_range_dev(cpu, bound.device, flush);
    }
    emit(cpu, Event::kClientInvalidateRet, rmap::kAllAddresses);
}

}  // namespace mmusim::notifiers
