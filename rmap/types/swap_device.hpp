// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::rmap {

/// What swap is on.
enum class SwapDevice {
    kZram,  ///< memory: a page is read and written at once (SWP_SYNCHRONOUS_IO, SWP_STABLE_WRITES)
    kDisk,  ///< a page stays under write-back after its write was submitted
};

}  // namespace mmusim::rmap
