// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/trace/byte_source.hpp"
#include "platform/trace/trace_reader.hpp"

namespace mmusim::platform {

/// Reads what valgrind's lackey prints with --trace-mem=yes: lines "I  ADDRESS,SIZE", " L ...",
/// " S ..." and " M ...", the address in hexadecimal. The traced program and valgrind itself may
/// write between the lines: what is no reference is skipped and counted. A line that is one, but of
/// an impossible size or address, is an error with its number; so is a trace without any.
class LackeyReader final : public TraceReader {
public:
    explicit LackeyReader(std::unique_ptr<ByteSource> source);

    References next() override;
    TraceFormat format() const override { return TraceFormat::kLackey; }
    std::uint64_t skipped_lines() const override { return skipped_; }

private:
    bool fill();
    void take_line(std::string_view line);
    void skip_line(std::string_view line);
    void require_references() const;

    const std::unique_ptr<ByteSource> source_;
    std::vector<char> buffer_;
    std::size_t begin_ = 0;  ///< of what is not taken yet
    std::size_t end_ = 0;
    bool in_long_line_ = false;  ///< the beginning of a line that did not fit was skipped
    bool over_ = false;
    std::vector<Reference> references_;
    std::uint64_t lines_ = 0;
    std::uint64_t skipped_ = 0;
    std::string first_skipped_;  ///< its beginning, for the message
};

}  // namespace mmusim::platform
