// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tlm>

#include "models/tlm/inbox.hpp"
#include "models/tlm/translation.hpp"
#include "rmap/ports/time_port.hpp"
#include "rmap/types/access.hpp"

namespace mmusim::models {

/// What the IOMMU says to a request; read it when the request's completion has taken effect.
struct DmaAnswer {
    bool permitted = false;
    Translation translation;  ///< meaningful only with permission
    rmap::Instant sent;       ///< when it left the IOMMU; then an untranslated access begins
};

/// A memory request of a device as the IOMMU sees it.
struct DmaRequest {
    enum class Kind {
        kTranslation,   ///< ATS translation request (PCI Express 5.0, 10.2.2)
        kUntranslated,  ///< the access itself, with an address that the IOMMU translates
    };

    Kind kind{};
    rmap::OperationId operation = 0;
    rmap::SourceId source = 0;
    rmap::Pasid pasid = 0;
    rmap::VirtAddr address{};
    rmap::Access access{};
    rmap::Duration transfer{};             ///< untranslated: from its translation to its end
    DmaAnswer* answer = nullptr;           ///< written before `answered` is made known
    rmap::Completion* answered = nullptr;  ///< of the requester: the answer is back
};

/// One request on its way from a device to the IOMMU.
///   key     in  when it arrives there, and its place in the total order
///   request in
class DmaTranslationExtension final : public tlm::tlm_extension<DmaTranslationExtension> {
public:
    EffectKey key;
    DmaRequest request;

    tlm::tlm_extension_base* clone() const override { return new DmaTranslationExtension(*this); }
    void copy_from(const tlm::tlm_extension_base& other) override {
        *this = static_cast<const DmaTranslationExtension&>(other);
    }
};

}  // namespace mmusim::models
