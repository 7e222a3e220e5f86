// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <optional>
#include <string_view>

namespace mmusim::test {

/// Whether MMUSIM_TEST_SIZE is `size`.
inline bool test_size_is(std::string_view size) {
    const char* asked = std::getenv("MMUSIM_TEST_SIZE");
    return asked && asked == size;
}

/// Less than everything, for builds that run slowly.
inline bool small_size() { return test_size_is("small"); }

/// How much of something to test. Few tests have more to do in the `long` size.
inline unsigned test_size(unsigned full, unsigned small, std::optional<unsigned> more = {}) {
    return small_size() ? small : test_size_is("long") ? more.value_or(full) : full;
}

}  // namespace mmusim::test
