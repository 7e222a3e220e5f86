// SPDX-License-Identifier: Apache-2.0
#include "platform/run/shared_virtual_memory.hpp"

#include <algorithm>

#include "platform/run/thread_seed.hpp"

namespace mmusim::platform {

namespace {

constexpr std::uint64_t kQueueFrames = 3;      ///< ring, status words, root table
constexpr std::uint64_t kFramesPerDevice = 4;  ///< context table, PASID directory and table

}  // namespace

std::uint64_t SharedVirtualMemory::frames_for(const PlatformConfig& platform) {
    return platform.iommu ? kQueueFrames + kFramesPerDevice * platform.devices.size() : 0;
}

void SharedVirtualMemory::set_up(const SetupContext& context, std::uint64_t first_client,
                                 rmap::Cpu& setup_cpu,
                                 const std::vector<std::unique_ptr<DmaProgram>>& programs) {
    if (!context.platform.iommu) return;
    notifiers::QueuedInvalidation::Config config;
    config.entries = context.platform.iommu->queue_entries;
    config.fault = context.scenario.injected_fault;
    queue_ = std::make_unique<notifiers::QueuedInvalidation>(config, context.frames);
    tables_ = std::make_unique<notifiers::VtdTableBuilder>(context.frames);
    context.machine.iommu()->set_queue(queue_->queue());
    context.machine.iommu()->set_root_table(tables_->root_table());

    const auto& devices = context.platform.devices;
    for (const auto& dma : context.scenario.dmas) {
        const auto device =
            std::find_if(devices.begin(), devices.end(),
                         [&](const auto& candidate) { return candidate.name == dma.device; });
        const auto number = static_cast<std::size_t>(device - devices.begin());
        Process& process = context.processes.first_of(dma.process);
        Binding& binding = binding_of(context, process, first_client);
        binding.client->bind_device(setup_cpu, *tables_, {device->source, device->ats});
        DmaProgram::Stream stream;
        stream.config = &dma;
        stream.pasid = binding.pasid;
        stream.mm = process.mm->context.id;
        MemoryUse use = context.processes.memory_use(
            dma, thread_seed(context.seed, context.machine.agents().devices[number].engine));
        use.follows_unmapping = true;
        programs[number]->assign(stream, std::move(use), context.rendezvous);
    }
}

SharedVirtualMemory::Binding& SharedVirtualMemory::binding_of(const SetupContext& context,
                                                              Process& process,
                                                              std::uint64_t first_client) {
    for (auto& binding : bindings_)
        if (binding.process == &process) return binding;
    Binding& binding = bindings_.emplace_back();
    binding.process = &process;
    binding.pasid = static_cast<rmap::Pasid>(bindings_.size());
    notifiers::SvmClient::Config config;
    config.id = first_client + bindings_.size() - 1;
    config.mm = process.mm->context.id;
    config.pgd = process.mm->context.pgd;
    config.pasid = binding.pasid;
    config.fault = context.scenario.injected_fault;
    binding.client = std::make_unique<notifiers::SvmClient>(config, *queue_);
    return binding;
}

}  // namespace mmusim::platform
