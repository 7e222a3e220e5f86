// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "notifiers/clients/intel_svm/queued_invalidation.hpp"
#include "notifiers/clients/intel_svm/svm_client.hpp"
#include "notifiers/clients/intel_svm/vtd_tables.hpp"
#include "platform/run/dma_program.hpp"
#include "platform/run/setup_context.hpp"

namespace mmusim::platform {

/// The IOMMU's driver and the devices that work in address spaces of processes: one PASID per
/// process, one notifier client for it, and a DMA stream per device.
class SharedVirtualMemory {
public:
    /// The address space of one process on the devices.
    struct Binding {
        Process* process = nullptr;
        rmap::Pasid pasid = 0;
        std::unique_ptr<notifiers::SvmClient> client;
    };

    /// Frames of the kernel's own memory that set_up() takes at most.
    static std::uint64_t frames_for(const PlatformConfig& platform);

    /// Before time begins; does nothing on a machine without IOMMU. Clients have numbers from
    /// `first_client` on; the n-th program is that of the n-th device.
    void set_up(const SetupContext& context, std::uint64_t first_client, rmap::Cpu& setup_cpu,
                const std::vector<std::unique_ptr<DmaProgram>>& programs);

    std::deque<Binding>& bindings() { return bindings_; }

private:
    Binding& binding_of(const SetupContext& context, Process& process, std::uint64_t first_client);

    std::unique_ptr<notifiers::QueuedInvalidation> queue_;
    std::unique_ptr<notifiers::VtdTableBuilder> tables_;
    std::deque<Binding> bindings_;
};

}  // namespace mmusim::platform
