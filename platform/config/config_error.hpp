// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace mmusim::platform {

/// A mistake of whoever runs the program. The message is one line. Exit code 2.
class UserError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A place in a configuration file. In the n-th --set argument: file "--set", line n. A value that
/// nobody wrote has an empty file.
struct Position {
    std::string file;
    unsigned line = 0;
    unsigned column = 0;
};

inline constexpr char kCommandLine[] = "--set";

/// "file:line:column".
inline std::string to_string(const Position& position) {
    return position.file + ':' + std::to_string(position.line) + ':' +
           std::to_string(position.column);
}

/// A mistake in a configuration: "file:line:column: what is wrong; what was expected".
class ConfigError final : public UserError {
public:
    ConfigError(const Position& position, const std::string& message)
        : UserError(to_string(position) + ": " + message), position_(position), message_(message) {}

    const Position& position() const { return position_; }
    const std::string& message() const { return message_; }  ///< without the place

private:
    Position position_;
    std::string message_;
};

}  // namespace mmusim::platform
