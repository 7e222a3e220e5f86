// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::rmap {

enum class Access { kRead, kWrite };

/// Why a translation failed, as the page-fault error code tells it.
enum class Fault { kNone, kNotPresent, kProtection };

}  // namespace mmusim::rmap
