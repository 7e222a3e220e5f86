// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace mmusim::platform {

/// Writes a file that is complete or not there: a temporary one beside it, fsync, rename. Throws
/// UserError.
void write_complete_file(const std::string& path, std::string_view content);

/// Makes the folder if there is none. Throws UserError.
void make_folder(const std::string& path);

/// Throws UserError when a file of that name could not be written; leaves no trace.
void require_writable(const std::string& path);

}  // namespace mmusim::platform
