// SPDX-License-Identifier: Apache-2.0
#include "models/flush/ipi.hpp"

#include "models/cpu/core_module.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::models {

namespace {

using rmap::TlbOperation;

class IpiMechanism final : public FlushMechanism {
public:
    IpiMechanism(CoreModule& core, const FlushMechanismConfig& config)
        : core_(core), config_(config) {}

    void execute(const TlbOperation& operation, rmap::Part part) override {
        core_.maintain(operation, cost(operation.kind), part);
    }

    void send_ipi(const rmap::CpuMask& targets, rmap::Vector vector, rmap::Part part) override {
        rmap::CpuMask cluster;
        rmap::CpuId cluster_number = 0;
        const auto send = [&] {
            if (!cluster.empty())
                core_.command_interrupt(cluster, vector, config_.interrupt.write,
                                        config_.interrupt.to_fabric, part);
            cluster = {};
        };
        targets.for_each([&](rmap::CpuId target) {
            const auto number = target / config_.interrupt.cluster_size;
            if (number != cluster_number) send();
            cluster_number = number;
            cluster.set(target);
        });
        send();
    }

private:
    rmap::Duration cost(TlbOperation::Kind kind) const {
        const auto& latency = config_.invalidation;
        switch (kind) {
            case TlbOperation::Kind::kInvlpg:
                return latency.invlpg;
            case TlbOperation::Kind::kInvpcidAddress:
                return latency.invpcid_address;
            case TlbOperation::Kind::kCr3Write:
                return latency.cr3_write;
            case TlbOperation::Kind::kCr3WriteNoFlush:
                return latency.cr3_write_no_flush;
            case TlbOperation::Kind::kAll:
                return latency.all;
            case TlbOperation::Kind::kInvept:
                return latency.invept;
            default:
                MMUSIM_CHECK(false, "the kernel uses no other instruction on x86-64");
                return {};
        }
    }

    CoreModule& core_;
    const FlushMechanismConfig config_;
};

}  // namespace

std::unique_ptr<FlushMechanism> create_ipi_mechanism(CoreModule& core,
                                                     const FlushMechanismConfig& config) {
    return std::make_unique<IpiMechanism>(core, config);
}

}  // namespace mmusim::models
