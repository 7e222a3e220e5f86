// SPDX-License-Identifier: Apache-2.0
#include "platform/trace/binary_reader.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "platform/config/config_error.hpp"
#include "platform/trace/binary_format.hpp"

namespace mmusim::platform {
namespace {

/// What a tag says, looked up instead of taken apart.
struct Tag {
    std::uint64_t mask = 0;  ///< the bytes of its address among the eight from where it begins
    std::uint16_t size = 0;  ///< 0: a long reference
    std::uint16_t to_next = 0;
    std::uint8_t bytes = 0;
    ReferenceKind kind{};
};

constexpr std::array<Tag, 256> tag_table() {
    std::array<Tag, 256> table{};
    for (std::size_t n = 0; n < table.size(); ++n) {
        Tag& tag = table[n];
        tag.kind = static_cast<ReferenceKind>(n & 3);
        tag.bytes = kAddressBytes[n >> 2 & 3];
        tag.mask = (std::uint64_t{1} << (8 * tag.bytes)) - 1;
        tag.size = kTagSizes[n >> 4];
        tag.to_next = distance_to_next(tag.kind, tag.size);
    }
    return table;
}
constexpr auto kTags = tag_table();

constexpr std::size_t kMaxBlock = kBlockReferences * (1 + kLongAddressSize);

}  // namespace

BinaryReader::BinaryReader(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), block_(kMaxBlock + 8), references_(kBlockReferences) {
    read_header();
}

void BinaryReader::fail(std::uint64_t offset, const std::string& what) const {
    throw UserError(fmt::format("{}: offset {}{}: {}", source_->name(), offset,
                                source_->compressed() ? " of the uncompressed trace" : "", what));
}

bool BinaryReader::read_exactly(char* to, std::size_t size, const char* what) {
    const std::size_t got = source_->read(to, size);
    if (got == size) return true;
    if (!source_->stopped()) fail(source_->offset(), fmt::format("the trace ends in {}", what));
    over_ = true;
    return false;
}

void BinaryReader::read_header() {
    std::array<char, kBinaryHeaderSize> header{};
    if (!read_exactly(header.data(), header.size(), "its header")) return;
    const auto version = load_little_endian(header.data() + 8, 4);
    if (version != kBinaryVersion)
        fail(8, fmt::format("version {} of the format; expected {}", version, kBinaryVersion));
    if (const auto reserved = load_little_endian(header.data() + 12, 4); reserved != 0)
        fail(12, fmt::format("{} in the header; expected 0", reserved));
}

void BinaryReader::read_end(std::size_t size) {
    const std::uint64_t at = source_->offset();
    if (size != kEndSize) fail(at - 4, fmt::format("{} bytes; expected {}", size, kEndSize));
    std::array<char, kEndSize> total{};
    if (!read_exactly(total.data(), total.size(), "its end")) return;
    if (const auto stated = load_little_endian(total.data(), total.size()); stated != total_)
        fail(at, fmt::format("{} references in all; the trace has {}", stated, total_));
    if (!source_->peek(1).empty())
        fail(source_->offset(), "something follows the end of the trace");
    over_ = true;
}

References BinaryReader::next() {
    if (over_) return {};
    std::array<char, kBlockHeaderSize> header{};
    const std::uint64_t at = source_->offset();
    if (!read_exactly(header.data(), header.size(), "the header of a block")) return {};
    const auto count = static_cast<std::size_t>(load_little_endian(header.data(), 4));
    const auto address_bytes = static_cast<std::size_t>(load_little_endian(header.data() + 4, 4));
    if (count == 0) {
        read_end(address_bytes);
        return {};
    }
    if (count > kBlockReferences)
        fail(at,
             fmt::format("a block of {} references; expected at most {}", count, kBlockReferences));
    if (address_bytes > count * kLongAddressSize)
        fail(at + 4, fmt::format("{} bytes of addresses for {} references", address_bytes, count));
    if (!read_exactly(block_.data(), count + address_bytes, "a block")) return {};
    decode(count, address_bytes);
    total_ += count;
    return {references_.data(), references_.data() + count};
}

void BinaryReader::decode(std::size_t count, std::size_t address_bytes) {
    const char* const tags = block_.data();
    const char* const addresses = tags + count;
    Reference* const references = references_.data();
    ExpectedAddresses expected{};
    std::size_t used = 0;  // at most kLongAddressSize for a reference, which is in the buffer
    for (std::size_t i = 0; i < count; ++i) {
        const Tag& tag = kTags[static_cast<unsigned char>(tags[i])];
        std::uint64_t& next = expected[static_cast<std::size_t>(tag.kind)];
        if (tag.size != 0) {
            const std::uint64_t number = load_little_endian(addresses + used) & tag.mask;
            const std::uint64_t address = next + unfolded(number);
            references[i] = {{address}, tag.size, tag.kind};
            next = address + tag.to_next;
            used += tag.bytes;
        } else {
            const auto size = static_cast<std::uint16_t>(load_little_endian(addresses + used, 2));
            const std::uint64_t address = load_little_endian(addresses + used + 2);
            if (size == 0 || tag.bytes != 0)
                fail(source_->offset() - address_bytes - count + i,
                     fmt::format("tag {:#04x}: a long reference of {} bytes",
                                 static_cast<unsigned char>(tags[i]), size));
            references[i] = {{address}, size, tag.kind};
            next = address + distance_to_next(tag.kind, size);
            used += kLongAddressSize;
        }
    }
    if (used != address_bytes)
        fail(source_->offset() - address_bytes,
             fmt::format("{} bytes of addresses; the tags before them ask for {}", address_bytes,
                         used));
}

}  // namespace mmusim::platform
