// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rmap/ports/cpu.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::rmap {

/// A page of a process, as secondary MMUs get it: with a reference.
struct UserPage {
    FrameNumber frame{};
    Generation generation = 0;
    bool writable = false;
};

/// What the mm code offers those who resolve addresses of a process for a secondary MMU. Time
/// passes in all of them; the caller holds no spinlock in get_user_page.
class UserPagePort {
public:
    virtual ~UserPagePort() = default;

    /// get_user_pages() of one page (mm/gup.c): faults it in if need be, for writing if `access`
    /// asks for it, and takes a reference. Nothing if the address is not mapped.
    virtual std::optional<UserPage> get_user_page(Cpu& cpu, MmId mm, VirtAddr address,
                                                  Access access) = 0;
    virtual void put_page(Cpu& cpu, FrameNumber frame) = 0;

    /// What a secondary MMU's accessed and dirty bits said of a page that it maps:
    /// mark_page_accessed(), and SetPageDirty(), which unlike set_page_dirty() tells nobody else.
    virtual void mark_page_accessed(Cpu& cpu, FrameNumber frame) = 0;
    virtual void set_page_dirty_flag(Cpu& cpu, FrameNumber frame) = 0;
};

}  // namespace mmusim::rmap
