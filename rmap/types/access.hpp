// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::rmap {

/// kExecute: an instruction is fetched.
enum class Access { kRead, kWrite, kExecute };

/// Why a translation failed: as the page-fault error code tells it, or because the second stage of
/// a guest's translation did not allow an access (an EPT violation, Intel SDM vol. 3, 28.3.3.2).
enum class Fault {
    kNone,
    kNotPresent,
    kProtection,
    kSecondStage,
    kAccessFlag,  ///< the page is mapped, and software is to set its accessed bit
    kDirtyState,  ///< likewise its dirty bit; arm64 calls that a permission fault
};

}  // namespace mmusim::rmap
