// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string_view>

namespace mmusim::test {

/// Whether MMUSIM_TEST_SIZE asks for less than everything.
inline bool small_size() {
    const char* size = std::getenv("MMUSIM_TEST_SIZE");
    return size && std::string_view(size) == "small";
}

inline unsigned test_size(unsigned full, unsigned small) { return small_size() ? small : full; }

}  // namespace mmusim::test
