// SPDX-License-Identifier: Apache-2.0
#include "platform/report/streamed_file.hpp"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {

namespace {

constexpr std::size_t kWriteSize = 1 << 16;

}  // namespace

StreamedFile::StreamedFile(std::string path, std::string what)
    : path_(std::move(path)), what_(std::move(what)), file_(std::fopen(path_.c_str(), "wb")) {
    if (!file_) fail();
    // Unbuffered below our own buffer, which never ends inside a line.
    std::setvbuf(file_.get(), nullptr, _IONBF, 0);
}

StreamedFile::~StreamedFile() {
    if (file_ && lines_.size() > 0) std::fwrite(lines_.data(), 1, lines_.size(), file_.get());
}

void StreamedFile::line_done() {
    if (lines_.size() >= kWriteSize) write_lines();
}

void StreamedFile::write_lines() {
    if (std::fwrite(lines_.data(), 1, lines_.size(), file_.get()) != lines_.size()) fail();
    lines_.clear();
}

void StreamedFile::close() {
    if (!file_) return;
    write_lines();
    if (std::fclose(file_.release()) != 0) fail();
}

void StreamedFile::fail() const {
    throw UserError(fmt::format("{}: cannot write {}: {}", path_, what_, std::strerror(errno)));
}

}  // namespace mmusim::platform
