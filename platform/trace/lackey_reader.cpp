// SPDX-License-Identifier: Apache-2.0
#include "platform/trace/lackey_reader.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {
namespace {

constexpr std::size_t kBufferSize = 1 << 16;  ///< no reference's line is nearly as long
constexpr std::size_t kShown = 40;            ///< characters of a line in a message
constexpr std::size_t kPrefix = 3;            ///< "I  "
constexpr std::size_t kMaxHexDigits = 16;
constexpr std::size_t kMaxSizeDigits = 5;

std::optional<ReferenceKind> kind_of(std::string_view line) {
    if (line.size() < kPrefix || line[2] != ' ') return std::nullopt;
    if (line[0] == 'I' && line[1] == ' ') return ReferenceKind::kFetch;
    if (line[0] != ' ') return std::nullopt;
    switch (line[1]) {
        case 'L':
            return ReferenceKind::kLoad;
        case 'S':
            return ReferenceKind::kStore;
        case 'M':
            return ReferenceKind::kModify;
        default:
            return std::nullopt;
    }
}

constexpr unsigned kNoDigit = 16;

constexpr std::array<unsigned char, 256> hex_values() {
    std::array<unsigned char, 256> values{};
    for (unsigned c = 0; c < values.size(); ++c)
        values[c] = static_cast<unsigned char>(c >= '0' && c <= '9'   ? c - '0'
                                               : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                                      : kNoDigit);
    return values;
}
constexpr auto kHexValues = hex_values();

unsigned hex_value(char c) { return kHexValues[static_cast<unsigned char>(c)]; }

/// A line that looks like a reference.
struct Candidate {
    std::uint64_t address = 0;
    std::size_t address_digits = 0;
    std::uint64_t size = 0;
    std::size_t size_digits = 0;
};

/// "ADDRESS,SIZE" and nothing else.
std::optional<Candidate> candidate_in(std::string_view text) {
    Candidate found;
    std::size_t i = 0;
    for (; i < text.size() && hex_value(text[i]) != kNoDigit; ++i)
        found.address = found.address << 4 | hex_value(text[i]);
    found.address_digits = i;
    if (i == 0 || i == text.size() || text[i] != ',') return std::nullopt;
    const std::size_t comma = i++;
    for (; i < text.size() && hex_value(text[i]) < 10; ++i)
        found.size = 10 * found.size + hex_value(text[i]);
    found.size_digits = i - comma - 1;
    if (found.size_digits == 0 || i < text.size()) return std::nullopt;
    return found;
}

std::string shown(std::string_view line) {
    std::string text(line.substr(0, kShown));
    for (char& c : text)
        if (c < ' ' || c > '~') c = '?';
    return line.size() > kShown ? text + " ..." : text;
}

}  // namespace

LackeyReader::LackeyReader(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), buffer_(kBufferSize) {}

/// Makes room and reads on; a line that fills the whole buffer is no reference.
bool LackeyReader::fill() {
    if (begin_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (end_ == buffer_.size()) {
        if (!in_long_line_) skip_line({buffer_.data(), end_});
        in_long_line_ = true;
        end_ = 0;
    }
    const std::size_t count = source_->read_some(buffer_.data() + end_, buffer_.size() - end_);
    end_ += count;
    return count > 0;
}

References LackeyReader::next() {
    references_.clear();
    while (references_.empty() && !over_) {
        if (!fill()) {
            over_ = true;
            // The last line may lack its end.
            if (begin_ < end_ && !source_->stopped())
                take_line({buffer_.data() + begin_, end_ - begin_});
            if (!source_->stopped()) require_references();
        }
        const char* const end = buffer_.data() + end_;
        while (!over_ && begin_ < end_) {
            const char* const line = buffer_.data() + begin_;
            const auto* const newline = static_cast<const char*>(
                std::memchr(line, '\n', static_cast<std::size_t>(end - line)));
            if (!newline) break;
            take_line({line, static_cast<std::size_t>(newline - line)});
            begin_ += static_cast<std::size_t>(newline - line) + 1;
        }
    }
    return {references_.data(), references_.data() + references_.size()};
}

void LackeyReader::take_line(std::string_view line) {
    if (in_long_line_) {
        in_long_line_ = false;
        return;
    }
    const auto kind = kind_of(line);
    const auto found = kind ? candidate_in(line.substr(kPrefix)) : std::nullopt;
    if (!found) return skip_line(line);
    ++lines_;
    if (found->address_digits > kMaxHexDigits)
        throw UserError(fmt::format("{}:{}: an address of {} digits; expected at most {}",
                                    source_->name(), lines_, found->address_digits, kMaxHexDigits));
    if (found->size_digits > kMaxSizeDigits || found->size < 1 || found->size > kMaxReferenceSize)
        throw UserError(
            fmt::format("{}:{}: a reference of {} bytes; expected 1 to {}", source_->name(), lines_,
                        line.substr(line.size() - found->size_digits), kMaxReferenceSize));
    references_.push_back({{found->address}, static_cast<std::uint16_t>(found->size), *kind});
}

void LackeyReader::skip_line(std::string_view line) {
    if (skipped_ == 0) first_skipped_ = shown(line);
    ++lines_;
    ++skipped_;
}

void LackeyReader::require_references() const {
    if (lines_ > skipped_) return;
    const std::string found =
        lines_ == 0 ? "nothing in it"
                    : fmt::format("none in {} lines; the first is '{}'", lines_, first_skipped_);
    throw UserError(fmt::format(
        "{}: no reference: {}; expected what valgrind's lackey prints with --trace-mem=yes, or a "
        "trace that 'mmusim convert' has made",
        source_->name(), found));
}

}  // namespace mmusim::platform
