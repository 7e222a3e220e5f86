// SPDX-License-Identifier: Apache-2.0
#include "platform/trace/trace_writer.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <iterator>
#include <string>
#include <utility>

#include "platform/trace/binary_format.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {
namespace {

/// Lines as lackey prints them.
class LackeyWriter final : public TraceWriter {
public:
    explicit LackeyWriter(WriteBytes write) : write_(std::move(write)) {}

    void add(References references) override {
        static constexpr std::array<std::string_view, kReferenceKinds> kPrefixes = {"I  ", " L ",
                                                                                    " S ", " M "};
        for (const auto& reference : references)
            fmt::format_to(std::back_inserter(lines_), "{}{:08x},{}\n",
                           kPrefixes[static_cast<std::size_t>(reference.kind)],
                           reference.address.value, reference.size);
        write_({lines_.data(), lines_.size()});
        lines_.clear();
    }
    void finish() override {}

private:
    const WriteBytes write_;
    fmt::memory_buffer lines_;
};

unsigned tag_size(std::uint16_t size) {
    for (unsigned code = kLongTagSize + 1; code < kTagSizes.size(); ++code)
        if (kTagSizes[code] == size) return code;
    return kLongTagSize;
}

class BinaryWriter final : public TraceWriter {
public:
    explicit BinaryWriter(WriteBytes write) : write_(std::move(write)) {
        std::array<char, kBinaryHeaderSize> header{};
        kBinaryMagic.copy(header.data(), kBinaryMagic.size());
        store_little_endian(header.data() + 8, kBinaryVersion, 4);
        write_({header.data(), header.size()});
    }

    void add(References references) override {
        for (const auto& reference : references) {
            encode(reference);
            if (tags_.size() == kBlockReferences) write_block();
        }
    }
    void finish() override {
        if (!tags_.empty()) write_block();
        std::array<char, kBlockHeaderSize + kEndSize> end{};
        store_little_endian(end.data() + 4, kEndSize, 4);
        store_little_endian(end.data() + kBlockHeaderSize, total_, kEndSize);
        write_({end.data(), end.size()});
    }

private:
    void encode(const Reference& reference) {
        const auto kind = static_cast<unsigned>(reference.kind);
        const std::uint64_t number = folded(reference.address.value - expected_[kind]);
        expected_[kind] =
            reference.address.value + distance_to_next(reference.kind, reference.size);
        unsigned size = tag_size(reference.size);
        unsigned length = number == 0 ? 0 : number >> 8 == 0 ? 1 : number >> 16 == 0 ? 2 : 3;
        if (number >> 32 != 0) size = kLongTagSize;
        if (size == kLongTagSize) {
            length = 0;
            append(reference.size, 2);
            append(reference.address.value, 8);
        } else {
            append(number, kAddressBytes[length]);
        }
        tags_.push_back(static_cast<char>(kind | length << 2 | size << 4));
    }
    void append(std::uint64_t value, std::size_t bytes) {
        std::array<char, 8> buffer{};
        store_little_endian(buffer.data(), value, bytes);
        addresses_.append(buffer.data(), bytes);
    }
    void write_block() {
        std::array<char, kBlockHeaderSize> header{};
        store_little_endian(header.data(), tags_.size(), 4);
        store_little_endian(header.data() + 4, addresses_.size(), 4);
        write_({header.data(), header.size()});
        write_(tags_);
        write_(addresses_);
        total_ += tags_.size();
        tags_.clear();
        addresses_.clear();
        expected_ = {};
    }

    const WriteBytes write_;
    ExpectedAddresses expected_{};
    std::string tags_;  ///< of the block under way
    std::string addresses_;
    std::uint64_t total_ = 0;
};

}  // namespace

std::unique_ptr<TraceWriter> make_trace_writer(TraceFormat format, WriteBytes write) {
    if (format == TraceFormat::kBinary) return std::make_unique<BinaryWriter>(std::move(write));
    return std::make_unique<LackeyWriter>(std::move(write));
}

// ---- gzip ----

/// zlib's state, which is not to be copied.
class GzipWriter::State {
public:
    State() {
        constexpr int kWindowOfGzip = 15 + 16;
        constexpr int kMemory = 8;  // zlib's default
        MMUSIM_CHECK(::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowOfGzip,
                                    kMemory, Z_DEFAULT_STRATEGY) == Z_OK,
                     "zlib begins to deflate");
    }
    ~State() { ::deflateEnd(&stream); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    z_stream stream{};
};

GzipWriter::GzipWriter(WriteBytes write)
    : write_(std::move(write)), state_(std::make_unique<State>()) {}

GzipWriter::~GzipWriter() = default;

void GzipWriter::deflate(std::string_view content, int flush) {
    std::array<char, 1 << 16> out;
    z_stream& stream = state_->stream;
    // zlib only reads there.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
    stream.avail_in = static_cast<uInt>(content.size());
    do {
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
        MMUSIM_CHECK(::deflate(&stream, flush) != Z_STREAM_ERROR, "zlib goes on deflating");
        write_({out.data(), out.size() - stream.avail_out});
    } while (stream.avail_out == 0);
}

void GzipWriter::write(std::string_view content) { deflate(content, Z_NO_FLUSH); }

void GzipWriter::finish() { deflate({}, Z_FINISH); }

}  // namespace mmusim::platform
