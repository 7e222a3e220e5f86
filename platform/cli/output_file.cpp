// SPDX-License-Identifier: Apache-2.0
#include "platform/cli/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, int error) {
    throw UserError(fmt::format("{}: cannot write: {}", path, std::strerror(error)));
}

std::string temporary_name(const std::string& target, pid_t process) {
    return fmt::format("{}.{}.tmp", target, process);
}

/// Where the file really is. A device or a pipe cannot be replaced by a complete file.
std::string replaceable(const std::string& path) {
    std::error_code ignored;
    const fs::path target =
        fs::is_symlink(path, ignored) ? fs::weakly_canonical(path, ignored) : fs::path(path);
    if (fs::exists(target, ignored) && !fs::is_regular_file(target, ignored))
        throw UserError(fmt::format("{}: cannot write: not a regular file", path));
    return target.string();
}

}  // namespace

CompleteFile::CompleteFile(const std::string& path)
    : target_(replaceable(path)), temporary_(temporary_name(target_, ::getpid())) {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) fail(target_, errno);
}

CompleteFile::~CompleteFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(temporary_.c_str());
}

void CompleteFile::write(std::string_view content) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd_, content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail(target_, errno);
        content.remove_prefix(static_cast<std::size_t>(written));
    }
}

void CompleteFile::commit() {
    if (::fsync(fd_) != 0 || std::rename(temporary_.c_str(), target_.c_str()) != 0)
        fail(target_, errno);
    ::close(fd_);
    fd_ = -1;
}

void write_complete_file(const std::string& path, std::string_view content) {
    CompleteFile file(path);
    file.write(content);
    file.commit();
}

void remove_partial_file(const std::string& path, pid_t process) {
    std::error_code ignored;
    fs::remove(temporary_name(path, process), ignored);
}

void make_folder(const std::string& path) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail(path, error.value());
    if (!fs::is_directory(path, error)) fail(path, ENOTDIR);
}

void require_writable(const std::string& path) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) fail(path, EISDIR);
    const CompleteFile file(path);
}

}  // namespace mmusim::platform
