// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/observe/access_record.hpp"
#include "models/tlb/tlb_filter.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::models {

/// An access that a grant has served. One like it, to the same page, is the same as long as the
/// grant is and the context, and nobody has to look for the grant, or for what the observer knows
/// of such accesses.
struct RepeatedAccess {
    rmap::PageNumber page{};
    const std::uint64_t* current = nullptr;  ///< TlbFilter::Usable::current
    std::uint64_t serial = 0;                ///< of the grant
    std::uint64_t stamp = 0;                 ///< AccessWriter::stamp() then: of the context
    AccessBatch::KindId kind = 0;            ///< likewise, of the observed access
    rmap::Duration lookup{};                 ///< as the grant says
    TlbStats* stats = nullptr;               ///< likewise

    bool possible() const { return *current == serial; }
};

/// The last ones. Plain: no time.
class RepeatedAccesses {
public:
    /// Null if there is none.
    const RepeatedAccess* find(rmap::PageNumber page, rmap::Access access,
                               std::uint64_t stamp) const {
        const RepeatedAccess& last = last_[place_of(page, access)];
        return last.page == page && last.stamp == stamp ? &last : nullptr;
    }
    void keep(rmap::Access access, const RepeatedAccess& done) {
        last_[place_of(done.page, access)] = done;
    }

private:
    static constexpr std::size_t kKept = 256;

    static std::size_t place_of(rmap::PageNumber page, rmap::Access access) {
        return (page.value * 3 + static_cast<std::size_t>(access)) % kKept;
    }

    // Serials begin with 1 and stamps, too: what has not been kept is never found.
    std::vector<RepeatedAccess> last_ = std::vector<RepeatedAccess>(kKept);
};

}  // namespace mmusim::models
