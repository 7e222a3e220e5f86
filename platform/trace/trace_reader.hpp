// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "platform/trace/reference.hpp"

namespace mmusim::platform {

enum class TraceFormat {
    kLackey,  ///< what valgrind's lackey prints with --trace-mem=yes
    kBinary,  ///< binary_format.hpp
};
const char* name(TraceFormat format);

/// A trace from its beginning to its end, many references at a time, in constant memory.
class TraceReader {
public:
    virtual ~TraceReader() = default;

    /// What comes next, valid until the next call; empty when the trace is over, or when a signal
    /// has ended it. Throws UserError with the place of what is wrong.
    virtual References next() = 0;

    virtual TraceFormat format() const = 0;
    /// Lines so far that are no references: a program's own output, a tool's messages.
    virtual std::uint64_t skipped_lines() const { return 0; }
};

/// Opens a file, or standard input for kStandardInput, by what it begins with: the format, plain or
/// gzip. `stop` may be null; while it is set the trace is over. Throws UserError.
std::unique_ptr<TraceReader> open_trace(const std::string& path, const std::atomic<bool>* stop);

}  // namespace mmusim::platform
