// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mmusim::platform {

/// How a program ended.
struct Ending {
    int code = 0;        ///< of exit, or 128 + the signal that ended it
    std::string errors;  ///< the end of what it wrote on standard error

    /// The last line of `errors`, or the code when there is none.
    std::string last_line() const;
};

/// A program that was started, with nothing on standard input and with standard output dropped. If
/// it still runs when this goes, it is killed.
class ChildProcess {
public:
    /// A program without '/' is looked for in PATH. Throws UserError.
    ChildProcess(const std::string& program, const std::vector<std::string>& arguments);
    ~ChildProcess();
    ChildProcess(ChildProcess&& other) noexcept;
    ChildProcess& operator=(ChildProcess&& other) noexcept;

    pid_t id() const { return pid_; }
    /// Readable when it has written something, and at its end.
    int descriptor() const { return errors_fd_; }
    /// Takes over what it has written, waiting for something; false at the end of it.
    bool read();
    /// Waits for the end of the process.
    Ending wait();

private:
    void stop() noexcept;

    pid_t pid_ = -1;
    int errors_fd_ = -1;
    std::string errors_;
};

}  // namespace mmusim::platform
