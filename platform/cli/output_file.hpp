// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace mmusim::platform {

/// A file that will be complete or not there: a temporary one beside it, fsync, rename. What throws
/// throws UserError.
class CompleteFile {
public:
    explicit CompleteFile(const std::string& path);
    /// Without commit() nothing is left behind, and what was there before stays.
    ~CompleteFile();
    CompleteFile(const CompleteFile&) = delete;
    CompleteFile& operator=(const CompleteFile&) = delete;

    void write(std::string_view content);
    /// The file is complete. Called once, in the end.
    void commit();

private:
    const std::string target_;
    const std::string temporary_;
    int fd_ = -1;
};

/// All at once.
void write_complete_file(const std::string& path, std::string_view content);

/// Removes what a process that was killed while it wrote the file may have left beside it.
void remove_partial_file(const std::string& path, pid_t process);

/// Makes the folder if there is none. Throws UserError.
void make_folder(const std::string& path);

/// Throws UserError when a file of that name could not be written; leaves no trace.
void require_writable(const std::string& path);

}  // namespace mmusim::platform
