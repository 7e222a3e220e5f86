// SPDX-License-Identifier: Apache-2.0
#include "tests/support/child_run.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace mmusim::test {

namespace {

void write_all(int file, const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
        const auto n = ::write(file, text.data() + done, text.size() - done);
        if (n <= 0) return;
        done += static_cast<std::size_t>(n);
    }
}

std::string read_all(int file) {
    std::string text;
    std::array<char, 65536> buffer;
    for (ssize_t n; (n = ::read(file, buffer.data(), buffer.size())) > 0;)
        text.append(buffer.data(), static_cast<std::size_t>(n));
    return text;
}

}  // namespace

std::string run_in_child(const std::function<std::string()>& work) {
    std::array<int, 2> pipe_ends{};
    std::fflush(nullptr);
    if (::pipe(pipe_ends.data()) != 0) throw std::runtime_error("pipe");
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork");
    if (child == 0) {
        ::close(pipe_ends[0]);
        std::string result;
        try {
            result = work();
        } catch (const std::exception& error) {
            result = std::string("failed: ") + error.what();
        }
        write_all(pipe_ends[1], result);
        ::_exit(0);  // destructors of the simulator and of the test session belong to the parent
    }
    ::close(pipe_ends[1]);
    std::string result = read_all(pipe_ends[0]);
    ::close(pipe_ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) return "failed: signal " + std::to_string(WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) return "failed: exit " + std::to_string(WEXITSTATUS(status));
    return result;
}

}  // namespace mmusim::test
