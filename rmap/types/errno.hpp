// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::rmap {

/// What a system call returns besides success, with the kernel's numbers.
enum class Errno : int {
    kNone = 0,
    kNoMemory = 12,  ///< ENOMEM: also "a part of the range is not mapped"
    kAccess = 13,    ///< EACCES
    kFault = 14,     ///< EFAULT
    kInvalid = 22,   ///< EINVAL
    kTooBig = 27,    ///< EFBIG
};

}  // namespace mmusim::rmap
