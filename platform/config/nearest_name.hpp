// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mmusim::platform {

/// The member of `names` with the least edit distance to `word`, the first of several; empty when
/// even that one has little in common with it.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

/// For the end of an error message: "nearest is 'x'", or "valid are 'a', 'b'" when nothing is near,
/// or "there are none".
std::string nearest_hint(std::string_view word, const std::vector<std::string>& names);

}  // namespace mmusim::platform
