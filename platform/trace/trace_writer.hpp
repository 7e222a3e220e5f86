// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "platform/trace/reference.hpp"
#include "platform/trace/trace_reader.hpp"

namespace mmusim::platform {

using WriteBytes = std::function<void(std::string_view)>;

/// Writes a trace in one of the formats, in constant memory.
class TraceWriter {
public:
    virtual ~TraceWriter() = default;

    virtual void add(References references) = 0;
    /// The trace is complete. Called once; nothing is added any more.
    virtual void finish() = 0;
};

std::unique_ptr<TraceWriter> make_trace_writer(TraceFormat format, WriteBytes write);

/// Compresses what is written (RFC 1952). The same content gives the same bytes, always.
class GzipWriter {
public:
    explicit GzipWriter(WriteBytes write);
    ~GzipWriter();  // where State is known
    GzipWriter(const GzipWriter&) = delete;
    GzipWriter& operator=(const GzipWriter&) = delete;

    void write(std::string_view content);
    void finish();  ///< called once, in the end

private:
    class State;

    void deflate(std::string_view content, int flush);

    const WriteBytes write_;
    const std::unique_ptr<State> state_;
};

}  // namespace mmusim::platform
