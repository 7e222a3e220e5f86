// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "notifiers/clients/intel_svm/queued_invalidation.hpp"
#include "notifiers/clients/intel_svm/vtd_tables.hpp"
#include "notifiers/notifier_client.hpp"

namespace mmusim::notifiers {

/// The client of shared virtual memory with Intel's IOMMU (drivers/iommu/intel-svm.c, v5.0: struct
/// intel_svm): one process, one PASID, and the devices bound to it, which walk the process's own
/// page tables. It has no shadow and counts no sections; it only throws out what IOTLB and device
/// TLBs hold, and returns when they no longer do. It has no lock: its list of devices is fixed at
/// set-up.
/// Does not model: device page requests (PRQ), and the second flush of the whole PASID on release,
/// which finds nothing.
class SvmClient final : public NotifierClient {
public:
    struct Config {
        std::string name = "intel_svm";
        std::uint64_t id = 0;  ///< argument `client` of the events
        rmap::MmId mm = 0;
        rmap::FrameNumber pgd{};
        rmap::Pasid pasid = 0;
        rmap::InjectedFault fault = rmap::InjectedFault::kNone;
    };

    SvmClient(const Config& config, QueuedInvalidation& queue) : config_(config), queue_(queue) {}

    /// intel_svm_bind_mm() for one device, which becomes able to use the PASID. Set-up only.
    void bind_device(rmap::Cpu& cpu, VtdTableBuilder& tables, const VtdDevice& device);

    std::string_view name() const override { return config_.name; }
    NotifierOps ops() const override;
    /// intel_mm_release(): the PASID leaves the tables first, then all caches.
    void release(rmap::Cpu& cpu, rmap::MmId mm) override;
    /// intel_invalidate_range(): per device the IOTLB, complete, and then its device TLB, complete
    /// (rules N17, N28). The IOTLB's range has the size of the next power of two but, in v5.0,
    /// starts where the kernel's range does: the hardware ignores the low bits of the start, so
    /// the end of an unaligned range may stay (hazard HZ7). The device TLB's range is aligned.
    void invalidate_range(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    /// intel_change_pte(): the same for one page, with the hint that only its leaf changes.
    void change_pte(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtAddr address, rmap::Pte pte,
                    rmap::Generation generation) override;

private:
    struct Bound {
        VtdDevice device;
        rmap::PhysAddr pasid_entry{};
    };

    /// What to submit for one range, the same for all devices but for their names.
    struct Flush {
        rmap::QiDescriptor iotlb;
        std::uint64_t device_tlb = 0;  ///< AtsRange
    };

    Flush flush_of(rmap::VirtRange range, rmap::QiDescriptor::Hint hint) const;
    void flush_svm_range(rmap::Cpu& cpu, rmap::VirtRange range, rmap::QiDescriptor::Hint hint);
    Flush flush_of_pasid() const;
    void flush_svm_range_dev(rmap::Cpu& cpu, const VtdDevice& device, const Flush& flush);
    void flush_device_tlb(rmap::Cpu& cpu, const VtdDevice& device, const Flush& flush);
    void emit(rmap::Cpu& cpu, rmap::Event event, rmap::VirtRange range) const;

    const Config config_;
    QueuedInvalidation& queue_;
    std::vector<Bound> devices_;  ///< set-up
};

}  // namespace mmusim::notifiers
