// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace mmusim::rmap {

/// A broken invariant of the program itself, never a user's mistake. Ends the run with exit code 3.
class InvariantError final : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

[[noreturn, gnu::cold]] inline void check_failed(const char* condition, const char* file, int line,
                                                 const std::string& message) {
    throw InvariantError(std::string(file) + ":" + std::to_string(line) + ": " + condition + ": " +
                         message);
}
/// Nothing is made of a literal at the place of the check.
[[noreturn, gnu::cold]] inline void check_failed(const char* condition, const char* file, int line,
                                                 const char* message) {
    check_failed(condition, file, line, std::string(message));
}

}  // namespace mmusim::rmap

/// On in every build: a simulator that is silently wrong is worth less than one that stops.
#define MMUSIM_CHECK(condition, message)                                           \
    do {                                                                           \
        if (!(condition)) [[unlikely]]                                             \
            ::mmusim::rmap::check_failed(#condition, __FILE__, __LINE__, message); \
    } while (false)
