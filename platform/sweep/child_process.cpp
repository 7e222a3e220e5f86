// SPDX-License-Identifier: Apache-2.0
#include "platform/sweep/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "platform/config/config_error.hpp"

extern char** environ;

namespace mmusim::platform {
namespace {

constexpr std::size_t kKeptErrors = 1 << 16;

[[noreturn]] void fail(const std::string& program, int error) {
    throw UserError(fmt::format("cannot start '{}': {}", program, std::strerror(error)));
}

/// What happens to the descriptors of a new process.
class FileActions {
public:
    explicit FileActions(int errors_fd) {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        ::posix_spawn_file_actions_adddup2(&actions_, errors_fd, STDERR_FILENO);
    }
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;

    const posix_spawn_file_actions_t* get() const { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

}  // namespace

std::string Ending::last_line() const {
    const std::size_t end = errors.find_last_not_of('\n');
    if (end == std::string::npos)
        return code > 128 ? fmt::format("ended by signal {}", code - 128)
                          : fmt::format("exit code {}", code);
    const std::size_t newline = errors.rfind('\n', end);
    const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
    return errors.substr(begin, end + 1 - begin);
}

ChildProcess::ChildProcess(const std::string& program, const std::vector<std::string>& arguments) {
    int ends[2];
    // Other children have no use for them.
    if (::pipe2(ends, O_CLOEXEC) != 0) fail(program, errno);
    errors_fd_ = ends[0];
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const FileActions actions(ends[1]);
    const int error =
        ::posix_spawnp(&pid_, program.c_str(), actions.get(), nullptr, argv.data(), environ);
    ::close(ends[1]);
    if (error == 0) return;
    pid_ = -1;
    stop();
    fail(program, error);
}

ChildProcess::~ChildProcess() { stop(); }

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      errors_fd_(std::exchange(other.errors_fd_, -1)),
      errors_(std::move(other.errors_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(errors_fd_, other.errors_fd_);
    std::swap(errors_, other.errors_);
    return *this;
}

void ChildProcess::stop() noexcept {
    if (errors_fd_ >= 0) ::close(std::exchange(errors_fd_, -1));
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
    pid_ = -1;
}

bool ChildProcess::read() {
    char buffer[4096];
    const ssize_t got = ::read(errors_fd_, buffer, sizeof buffer);
    if (got < 0) return errno == EINTR;
    errors_.append(buffer, static_cast<std::size_t>(got));
    if (errors_.size() > kKeptErrors) errors_.erase(0, errors_.size() - kKeptErrors);
    return got > 0;
}

Ending ChildProcess::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0)
        if (errno != EINTR) fail("waitpid", errno);
    pid_ = -1;
    stop();
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), std::move(errors_)};
}

}  // namespace mmusim::platform
