// SPDX-License-Identifier: Apache-2.0
#include "platform/trace/byte_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platform/config/config_error.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {
namespace {

constexpr std::size_t kBufferSize = 1 << 16;
constexpr std::string_view kGzip{"\x1f\x8b", 2};
constexpr int kAnyWindowOfGzip = 15 + 16;

int open_file(const std::string& path) {
    if (path == kStandardInput) return STDIN_FILENO;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw UserError(fmt::format("{}: cannot open: {}", path, std::strerror(errno)));
    return fd;
}

}  // namespace

ByteSource::Descriptor::Descriptor(const std::string& path) : number(open_file(path)) {}

ByteSource::Descriptor::~Descriptor() {
    if (number != STDIN_FILENO) ::close(number);
}

/// zlib's state, which is not to be copied.
class ByteSource::Inflater {
public:
    Inflater() {
        MMUSIM_CHECK(::inflateInit2(&stream, kAnyWindowOfGzip) == Z_OK, "zlib begins to inflate");
    }
    ~Inflater() { ::inflateEnd(&stream); }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;

    z_stream stream{};
    bool in_member = true;  ///< its end has not been seen
};

ByteSource::ByteSource(const std::string& path, const std::atomic<bool>* stop)
    : name_(path == kStandardInput ? "standard input" : path),
      stop_(stop),
      file_(path),
      buffer_(kBufferSize) {
    while (end_ < kGzip.size() && fill()) {
    }
    if (std::string_view(buffer_.data(), end_).substr(0, kGzip.size()) == kGzip)
        inflater_ = std::make_unique<Inflater>();
}

ByteSource::~ByteSource() = default;

std::size_t ByteSource::read_file(char* to, std::size_t size) {
    for (;;) {
        if (stop_ && *stop_) {
            stopped_ = true;
            return 0;
        }
        const ssize_t count = ::read(file_.number, to, size);
        if (count >= 0) {
            file_offset_ += static_cast<std::uint64_t>(count);
            return static_cast<std::size_t>(count);
        }
        if (errno != EINTR)
            throw UserError(fmt::format("{}: cannot read: {}", name_, std::strerror(errno)));
    }
}

/// Adds to the buffer, which is emptied first if everything in it was used. False at the end.
bool ByteSource::fill() {
    if (begin_ == end_) begin_ = end_ = 0;
    const std::size_t count = read_file(buffer_.data() + end_, buffer_.size() - end_);
    end_ += count;
    return count > 0;
}

std::size_t ByteSource::take_content(char* to, std::size_t size) {
    if (inflater_) return inflate_some(to, size);
    if (begin_ == end_ && size >= buffer_.size()) return read_file(to, size);
    if (begin_ == end_ && !fill()) return 0;
    const std::size_t count = std::min(size, end_ - begin_);
    std::memcpy(to, buffer_.data() + begin_, count);
    begin_ += count;
    return count;
}

std::size_t ByteSource::inflate_some(char* to, std::size_t size) {
    z_stream& stream = inflater_->stream;
    stream.next_out = reinterpret_cast<Bytef*>(to);
    stream.avail_out = static_cast<uInt>(size);
    while (stream.avail_out == size) {
        if (begin_ == end_ && !fill()) {
            if (inflater_->in_member && !stopped_)
                throw UserError(fmt::format("{}: the gzip data ends too early, at offset {}", name_,
                                            file_offset_));
            break;
        }
        if (!inflater_->in_member) {
            ::inflateReset(&stream);
            inflater_->in_member = true;
        }
        stream.next_in = reinterpret_cast<Bytef*>(buffer_.data() + begin_);
        stream.avail_in = static_cast<uInt>(end_ - begin_);
        const int result = ::inflate(&stream, Z_NO_FLUSH);
        begin_ = end_ - stream.avail_in;
        if (result == Z_STREAM_END)
            inflater_->in_member = false;
        else if (result != Z_OK)
            throw UserError(fmt::format("{}: broken gzip data at offset {}", name_,
                                        file_offset_ - stream.avail_in));
    }
    return size - stream.avail_out;
}

std::size_t ByteSource::read_some(char* to, std::size_t size) {
    std::size_t count = std::min(size, peeked_.size());
    if (count > 0) {
        peeked_.copy(to, count);
        peeked_.erase(0, count);
    } else {
        count = take_content(to, size);
    }
    offset_ += count;
    return count;
}

std::size_t ByteSource::read(char* to, std::size_t size) {
    std::size_t got = 0;
    while (got < size) {
        const std::size_t count = read_some(to + got, size - got);
        if (count == 0) break;
        got += count;
    }
    return got;
}

std::string_view ByteSource::peek(std::size_t size) {
    while (peeked_.size() < size) {
        std::string more(size - peeked_.size(), '\0');
        const std::size_t count = take_content(more.data(), more.size());
        if (count == 0) break;
        peeked_.append(more, 0, count);
    }
    return std::string_view(peeked_).substr(0, size);
}

}  // namespace mmusim::platform
