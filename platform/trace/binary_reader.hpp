// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "platform/trace/byte_source.hpp"
#include "platform/trace/trace_reader.hpp"

namespace mmusim::platform {

/// Reads binary_format.hpp; every deviation from it is an error with its offset.
class BinaryReader final : public TraceReader {
public:
    explicit BinaryReader(std::unique_ptr<ByteSource> source);

    References next() override;
    TraceFormat format() const override { return TraceFormat::kBinary; }

private:
    void read_header();
    /// False when the trace was stopped in the middle.
    bool read_exactly(char* to, std::size_t size, const char* what);
    void read_end(std::size_t size);
    void decode(std::size_t count, std::size_t address_bytes);
    /// Throws; `offset` is where in the content.
    [[noreturn]] void fail(std::uint64_t offset, const std::string& what) const;

    const std::unique_ptr<ByteSource> source_;
    std::vector<char> block_;  ///< tags and addresses, and room for a load beyond
    std::vector<Reference> references_;
    std::uint64_t total_ = 0;
    bool over_ = false;
};

}  // namespace mmusim::platform
