// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mmusim::platform {

inline constexpr char kStandardInput[] = "-";

/// The content of a file or of standard input, from beginning to end in constant memory. Content
/// that begins like gzip (RFC 1952; also several members after each other) is decompressed.
class ByteSource {
public:
    /// `path` may be kStandardInput. While `stop` (may be null) is set, the content is over: a
    /// signal ends the wait for a slow writer. Throws UserError when the file cannot be opened.
    ByteSource(const std::string& path, const std::atomic<bool>* stop);
    ~ByteSource();  // where Inflater is known
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;

    /// At least one byte unless the content is over. Throws UserError, as all that reads.
    std::size_t read_some(char* to, std::size_t size);
    /// `size` bytes unless the content is over before.
    std::size_t read(char* to, std::size_t size);
    /// The next `size` bytes, or what is left if that is less, without taking them.
    std::string_view peek(std::size_t size);

    /// Of the file, for messages.
    const std::string& name() const { return name_; }
    /// Bytes of content taken so far.
    std::uint64_t offset() const { return offset_; }
    bool compressed() const { return inflater_ != nullptr; }
    /// It was over because of `stop`.
    bool stopped() const { return stopped_; }

private:
    class Inflater;

    /// An open file; standard input is left open.
    class Descriptor {
    public:
        explicit Descriptor(const std::string& path);
        ~Descriptor();
        Descriptor(const Descriptor&) = delete;
        Descriptor& operator=(const Descriptor&) = delete;
        const int number;
    };

    /// From the file itself, ahead of what is decompressed.
    std::size_t read_file(char* to, std::size_t size);
    bool fill();
    std::size_t take_content(char* to, std::size_t size);
    std::size_t inflate_some(char* to, std::size_t size);

    const std::string name_;
    const std::atomic<bool>* const stop_;
    const Descriptor file_;
    std::vector<char> buffer_;  ///< read from the file, not yet used
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::uint64_t file_offset_ = 0;  ///< of buffer_[end_]
    std::string peeked_;             ///< content that was looked at
    std::uint64_t offset_ = 0;
    bool stopped_ = false;
    std::unique_ptr<Inflater> inflater_;  ///< null: not compressed
};

}  // namespace mmusim::platform
