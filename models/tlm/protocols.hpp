// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

namespace mmusim::models {

// One class of protocol types for each protocol: all carry generic payloads, but sockets of
// different protocols do not bind to each other, so that a wrong binding does not compile.

/// A core writes the tail register of an IOMMU's invalidation queue (DoorbellExtension).
struct DoorbellProtocol {
    using tlm_payload_type = tlm::tlm_generic_payload;
    using tlm_phase_type = tlm::tlm_phase;
};

/// A device asks an IOMMU for a translation (DmaTranslationExtension).
struct AtsProtocol {
    using tlm_payload_type = tlm::tlm_generic_payload;
    using tlm_phase_type = tlm::tlm_phase;
};

/// An IOMMU asks a device to forget translations (DeviceTlbInvalidationExtension).
struct DeviceTlbProtocol {
    using tlm_payload_type = tlm::tlm_generic_payload;
    using tlm_phase_type = tlm::tlm_phase;
};

}  // namespace mmusim::models
