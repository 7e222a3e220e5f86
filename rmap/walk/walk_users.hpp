// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "rmap/unmap/ttu_flags.hpp"
#include "rmap/walk/rmap_walk.hpp"

namespace mmusim::rmap {

// ---- what the walks work on; each is defined by its user ----
struct PageReferencedArg;
struct MkcleanCount;
struct NoArg {};

// ---- the hooks, defined by their users ----
#define MMUSIM_WALK_USER(user, rmap_one, anon_lock, done, invalid_vma, arg) \
    bool rmap_one(Cpu&, KernelState&, Page&, Vma&, VirtAddr, arg&);
#include "rmap/walk/walk_users.def"
#undef MMUSIM_WALK_USER

bool page_mapcount_is_zero(Cpu&, const Page&);
bool page_not_mapped(Cpu&, const Page&);

bool invalid_migration_vma(Cpu&, const Vma&, const TtuFlags&);
bool invalid_page_referenced_vma(Cpu&, const Vma&, PageReferencedArg&);
bool invalid_mkclean_vma(Cpu&, const Vma&, MkcleanCount&);

/// One row of walk_users.def.
template <class Arg>
struct WalkUser {
    bool (*rmap_one)(Cpu&, KernelState&, Page&, Vma&, VirtAddr, Arg&);
    AnonLock anon_lock;
    bool (*done)(Cpu&, const Page&);
    bool (*invalid_vma)(Cpu&, const Vma&, Arg&);
};

/// The rows, by the names of their users.
namespace walk_users {

inline constexpr std::nullptr_t none = nullptr;
#define MMUSIM_WALK_USER(user, rmap_one, anon_lock, done, invalid_vma, arg) \
    inline constexpr WalkUser<arg> user{rmap_one, anon_lock, done, invalid_vma};
#include "rmap/walk/walk_users.def"
#undef MMUSIM_WALK_USER

}  // namespace walk_users

/// The same rows to be read; "none" where there is no hook.
struct WalkUserInfo {
    std::string_view user;
    std::string_view rmap_one;
    std::string_view anon_lock;
    std::string_view done;
    std::string_view invalid_vma;
    std::string_view arg;
};

inline constexpr WalkUserInfo kWalkUsers[] = {
#define MMUSIM_WALK_USER(user, rmap_one, anon_lock, done, invalid_vma, arg) \
    {#user, #rmap_one, #anon_lock, #done, #invalid_vma, #arg},
#include "rmap/walk/walk_users.def"
#undef MMUSIM_WALK_USER
};

/// rmap_walk() with the hooks of a row. `arg` is handed to them.
template <class Arg>
void rmap_walk(Cpu& cpu, KernelState& kernel, Page& page, const WalkUser<Arg>& user, Arg& arg) {
    const auto rmap_one = [&](Vma& vma, VirtAddr address) {
        return user.rmap_one(cpu, kernel, page, vma, address, arg);
    };
    const auto done = [&] { return user.done(cpu, page); };
    const auto invalid_vma = [&](const Vma& vma) { return user.invalid_vma(cpu, vma, arg); };
    RmapWalkControl control{rmap_one, user.anon_lock, {}, {}};
    if (user.done) control.done = done;
    if (user.invalid_vma) control.invalid_vma = invalid_vma;
    rmap_walk(cpu, kernel, page, control);
}

}  // namespace mmusim::rmap
