// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mmusim::rmap {

/// enum ttu_flags of v5.0, with its values; those that small pages can see.
enum class TtuFlags : unsigned {
    kNone = 0,
    kMigration = 0x1,      ///< TTU_MIGRATION: leave migration entries
    kMunlock = 0x2,        ///< TTU_MUNLOCK: only look for VM_LOCKED, change no entry
    kIgnoreMlock = 0x8,    ///< TTU_IGNORE_MLOCK: do not stop at VM_LOCKED
    kIgnoreAccess = 0x10,  ///< TTU_IGNORE_ACCESS: do not test whether the page is young
    kBatchFlush = 0x40,    ///< TTU_BATCH_FLUSH: the caller flushes before it frees or writes
};

constexpr TtuFlags operator|(TtuFlags a, TtuFlags b) {
    return static_cast<TtuFlags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(TtuFlags flags, TtuFlags flag) {
    return static_cast<unsigned>(flags) & static_cast<unsigned>(flag);
}

}  // namespace mmusim::rmap
