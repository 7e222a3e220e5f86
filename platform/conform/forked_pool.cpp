// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/forked_pool.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {

namespace {

/// First byte of what a process sends.
constexpr char kReturned = 'r';
constexpr char kThrew = 't';

void write_all(int fd, const std::string& text) {
    for (std::size_t sent = 0; sent < text.size();) {
        const ssize_t n = ::write(fd, text.data() + sent, text.size() - sent);
        if (n < 0 && errno != EINTR) return;
        if (n > 0) sent += static_cast<std::size_t>(n);
    }
}

std::string answer(const std::function<std::string(std::size_t)>& task, std::size_t number) {
    try {
        return kReturned + task(number);
    } catch (const std::exception& error) {
        return std::string(1, kThrew) + error.what();
    }
}

/// One forked process and what has come from it.
struct Forked {
    std::size_t task = 0;
    pid_t pid = -1;
    int fd = -1;
    std::string text;

    ForkedResult finish() {
        ::close(fd);
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
        if (text.empty())
            return {std::nullopt, WIFSIGNALED(status)
                                      ? fmt::format("ended by signal {}", WTERMSIG(status))
                                      : fmt::format("exit code {}", WEXITSTATUS(status))};
        if (text.front() == kReturned) return {text.substr(1), {}};
        return {std::nullopt, text.substr(1)};
    }
};

Forked start(const std::function<std::string(std::size_t)>& task, std::size_t number) {
    int ends[2];
    if (::pipe(ends) != 0)
        throw UserError(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    const pid_t pid = ::fork();
    if (pid < 0) throw UserError(fmt::format("cannot fork: {}", std::strerror(errno)));
    if (pid == 0) {
        ::close(ends[0]);
        write_all(ends[1], answer(task, number));
        // Nothing of the parent's is to be flushed or destroyed twice.
        ::_exit(0);
    }
    ::close(ends[1]);
    return {number, pid, ends[0], {}};
}

}  // namespace

std::vector<ForkedResult> run_forked(std::size_t count, unsigned processes,
                                     const std::function<std::string(std::size_t)>& task,
                                     const std::function<void(std::size_t)>& watch) {
    std::vector<ForkedResult> results(count);
    std::vector<Forked> running;
    std::size_t next = 0;
    for (std::size_t finished = 0; finished < count;) {
        while (next < count && running.size() < processes) running.push_back(start(task, next++));
        std::vector<pollfd> descriptors;
        for (const auto& one : running) descriptors.push_back({one.fd, POLLIN, 0});
        if (::poll(descriptors.data(), descriptors.size(), -1) < 0) continue;
        for (std::size_t i = running.size(); i-- > 0;) {
            if (descriptors[i].revents == 0) continue;
            char buffer[1 << 14];
            const ssize_t n = ::read(running[i].fd, buffer, sizeof buffer);
            if (n > 0) running[i].text.append(buffer, static_cast<std::size_t>(n));
            if (n != 0) continue;
            results[running[i].task] = running[i].finish();
            running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
            watch(++finished);
        }
    }
    return results;
}

}  // namespace mmusim::platform
