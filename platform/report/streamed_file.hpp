// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace mmusim::platform {

/// A text file that is written while the run goes on. Reaches the disk in whole lines only, so that
/// a killed run leaves a readable prefix, and holds no more than one buffer in memory.
class StreamedFile {
public:
    /// Creates or overwrites the file. `what` names it in errors: "the event log". Throws UserError
    /// when it cannot.
    StreamedFile(std::string path, std::string what);

    /// Writes what is left; errors are lost here, so close() comes first.
    ~StreamedFile();
    StreamedFile(const StreamedFile&) = delete;
    StreamedFile& operator=(const StreamedFile&) = delete;

    void append(std::string_view text) { lines_.append(text.data(), text.data() + text.size()); }
    void append(std::uint64_t value) {
        const fmt::format_int digits(value);
        append({digits.data(), digits.size()});
    }
    /// For fmt::format_to.
    fmt::memory_buffer& text() { return lines_; }

    /// A line is complete, its end included. Throws UserError when the file cannot be written.
    void line_done();

    /// Completes the file. Throws UserError when it cannot.
    void close();

private:
    struct Closer {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    void write_lines();
    [[noreturn]] void fail() const;

    const std::string path_;
    const std::string what_;
    std::unique_ptr<std::FILE, Closer> file_;
    fmt::memory_buffer lines_;  ///< not in the file yet
};

}  // namespace mmusim::platform
