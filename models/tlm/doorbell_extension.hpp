// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

#include "models/tlm/inbox.hpp"
#include "rmap/ports/time_port.hpp"

namespace mmusim::models {

/// A write of the invalidation queue's tail register.
struct Doorbell {
    std::uint64_t tail = 0;                  ///< byte offset behind the last descriptor
    rmap::OperationId operation = 0;         ///< that demands the invalidations
    rmap::Completion* write_back = nullptr;  ///< of the submitter, see rmap::IommuPort
};

/// One tail-register write on its way to the IOMMU.
///   key      in  when it takes effect there, and its place in the total order
///   doorbell in
class DoorbellExtension final : public tlm::tlm_extension<DoorbellExtension> {
public:
    EffectKey key;
    Doorbell doorbell;

    tlm::tlm_extension_base* clone() const override { return new DoorbellExtension(*this); }
    void copy_from(const tlm::tlm_extension_base& other) override {
        *this = static_cast<const DoorbellExtension&>(other);
    }
};

}  // namespace mmusim::models
