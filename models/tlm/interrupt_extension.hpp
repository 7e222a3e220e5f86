// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

#include "models/tlm/inbox.hpp"
#include "rmap/ports/interrupt_port.hpp"
#include "rmap/types/cpu_mask.hpp"

namespace mmusim::models {

/// One interrupt-command write on its way to the fabric, or one delivery to a core.
///   vector    in
///   operation in  that caused it
///   targets   in  to the fabric: the cores addressed; to a core: itself
///   key       in  when the effect takes place at the receiver, and its place in the total order
class InterruptExtension final : public tlm::tlm_extension<InterruptExtension> {
public:
    rmap::Vector vector = 0;
    rmap::OperationId operation = 0;
    rmap::CpuMask targets;
    EffectKey key;

    tlm::tlm_extension_base* clone() const override { return new InterruptExtension(*this); }
    void copy_from(const tlm::tlm_extension_base& other) override {
        *this = static_cast<const InterruptExtension&>(other);
    }
};

}  // namespace mmusim::models
