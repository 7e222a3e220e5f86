// SPDX-License-Identifier: Apache-2.0
#include "tests/support/device_machine.hpp"
#include "tests/support/tlb_configs.hpp"

#include <algorithm>

namespace mmusim::test {

using models::DmaDeviceModule;
using rmap::Instant;
using rmap::nanoseconds;
using rmap::Part;
using rmap::PhysAddr;
using rmap::QiDescriptor;
using rmap::VtdTables;

models::IommuConfig test_iommu() {
    models::IommuConfig config;
    config.iotlb = split_tlb({32, 4}, {8, 4}, nanoseconds(3), nanoseconds(5));
    config.walk_cache = {8, 4};
    config.pasid_cache = {8, 4};
    config.walker = {nanoseconds(4), nanoseconds(6)};
    config.walkers = 2;
    config.queue_entries = 64;
    config.fault_records = 2;
    config.doorbell_write = nanoseconds(31);
    config.doorbell = nanoseconds(70);
    config.descriptor = nanoseconds(11);
    config.iotlb_invalidate = nanoseconds(45);
    config.pasid_cache_invalidate = nanoseconds(61);
    return config;
}

models::DmaDeviceConfig test_device(rmap::SourceId source) {
    models::DmaDeviceConfig config;
    config.name = "device";
    config.source = source;
    config.atc = split_tlb({32, 4}, {8, 4}, nanoseconds(2), nanoseconds(7));
    config.max_in_flight = 4;
    config.link = nanoseconds(100);
    config.atc_invalidate = nanoseconds(25);
    config.transfer = nanoseconds(230);
    return config;
}

DeviceMachine::DeviceMachine(const Options& options)
    : options_(options), platform_(test_platform(1, options.cores)) {
    platform_.iommu = options.iommu;
    platform_.devices = options.devices;
    const platform::Agents agents(platform_);
    observer_.records.resize(options.cores + agents.sockets.size());
    stream_.add_sink(sink_);

    platform::Platform::Options build;
    build.observer = &observer_;
    build.events = {&stream_, nullptr};
    build.fault = options.fault;
    for (rmap::CpuId cpu = 0; cpu < options.cores; ++cpu) build.creation_order.push_back(cpu);
    build.devices_first = options.reverse_creation;
    if (options.reverse_creation)
        std::reverse(build.creation_order.begin(), build.creation_order.end());
    cores_ = std::make_unique<TestMachine>(platform_, build, options.quantum);
    iommu().set_root_table(rmap::address_of(kRootTable));
    iommu().set_queue(rmap::address_of(kQueue));
}

rmap::FrameNumber DeviceMachine::table_at(PhysAddr word, std::uint64_t flags) {
    auto& memory = (*cores_)->memory().backdoor();
    const auto old = memory.load(word, Part::kUser).value;
    if (old & VtdTables::kPresent) return rmap::frame_of({old & VtdTables::kPointer});
    const auto table = next_table_;
    next_table_ = next_table_ + 1;
    cores_->poke(word, rmap::address_of(table).value | VtdTables::kPresent | flags);
    return table;
}

void DeviceMachine::bind(std::size_t device, rmap::Pasid pasid, PhysAddr first_level) {
    const auto& config = options_.devices[device];
    const auto context = rmap::address_of(
        table_at(VtdTables::root_word(rmap::address_of(kRootTable), config.source), 0));
    const auto directory = rmap::address_of(
        table_at(VtdTables::context_word(context, config.source),
                 VtdTables::kPasidEnable | (config.ats ? VtdTables::kDeviceTlbEnable : 0)));
    const auto table = rmap::address_of(table_at(VtdTables::directory_word(directory, pasid), 0));
    const auto entry = VtdTables::pasid_entry(table, pasid);
    cores_->poke(entry, VtdTables::kPresent | VtdTables::kFirstLevelOnly);
    cores_->poke(VtdTables::first_level_word(entry), first_level.value);
}

void DeviceMachine::submit(models::CoreModule& core, const std::vector<QiDescriptor>& descriptors,
                           rmap::Completion& write_back) {
    const auto size = options_.iommu.queue_entries * QiDescriptor::kBytes;
    for (const auto& descriptor : descriptors) {
        const auto at = rmap::address_of(kQueue) + tail_;
        core.store(at, {descriptor.low, 0}, Part::kIommuSubmit);
        core.store(at + 8, {descriptor.high, 0}, Part::kIommuSubmit);
        tail_ = (tail_ + QiDescriptor::kBytes) % size;
    }
    core.write_queue_tail(tail_, write_back, options_.iommu.doorbell_write, options_.iommu.doorbell,
                          Part::kIommuSubmit);
}

Instant DeviceMachine::submit_and_wait(models::CoreModule& core,
                                       std::vector<QiDescriptor> descriptors) {
    rmap::Completion write_back(core.time());
    const auto status = rmap::address_of(kStatus) + 64 * core.id();
    const auto data = ++status_;
    descriptors.push_back(QiDescriptor::wait(status, data));
    submit(core, descriptors, write_back);
    core.time().await(write_back, Part::kIommuWait);
    return core.time().local_now();
}

void DeviceMachine::sleep_until(models::CoreModule& core, Instant at) {
    core.time().spend(at - core.time().local_now(), Part::kUser);
}

void DeviceMachine::sleep_until(DmaDeviceModule& device, Instant at) {
    device.time().spend(at - device.time().local_now(), Part::kUser);
}

Instant DeviceMachine::first_descriptor(Instant start) const {
    const auto& latency = platform_.memory.latency;
    return start + latency.dram + latency.locked * 3 + options_.iommu.doorbell_write +
           options_.iommu.doorbell + latency.same_socket + latency.l1 + options_.iommu.descriptor;
}

void DeviceMachine::run() {
    cores_->run();
    stream_.finish();
}

std::vector<rmap::EventRecord> DeviceMachine::events(rmap::Event event) const {
    std::vector<rmap::EventRecord> result;
    std::copy_if(sink_.records.begin(), sink_.records.end(), std::back_inserter(result),
                 [&](const rmap::EventRecord& record) { return record.event == event; });
    return result;
}

}  // namespace mmusim::test
