// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rmap/mm/address_space.hpp"
#include "rmap/mm/mm.hpp"
#include "rmap/types/errno.hpp"

namespace mmusim::rmap {

struct KernelState;

// Freeing parts of files (mm/truncate.c, and what of mm/memory.c and the file systems leads there).

/// Whether private copies of a file's pages go with the pages themselves.
enum class EvenCows { kNo, kYes };

/// unmap_mapping_pages(): clears what maps these pages of a file, in all processes: per VMA, in the
/// order of i_mmap, a gather and a section of its own. Takes i_mmap_rwsem for writing.
void unmap_mapping_pages(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range,
                         EvenCows even_cows);

/// truncate_inode_page(): unmaps a locked page, if it still is, and takes it out of its file, dirty
/// or not. False: it has left the file before.
bool truncate_inode_page(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, Page& page);

/// truncate_inode_pages_range(): takes the pages of a range out of a file; those that are locked or
/// under write-back last.
void truncate_inode_pages_range(Cpu& cpu, KernelState& kernel, AddressSpace& mapping,
                                PageRange range);

/// ftruncate(2): the file has `pages` pages from now on. One call operation. Time passes. kTooBig:
/// more than it was made with.
Errno truncate(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, std::uint64_t pages);

/// vfs_fallocate() with FALLOC_FL_PUNCH_HOLE, that is ext4_punch_hole() or shmem_fallocate(): the
/// pages of a range are gone; who touches them finds zeroes. A dirty file on a disk is written
/// back first. No lock held. Time passes.
void vfs_fallocate(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range);

/// fallocate(2) for it. One call operation. Time passes.
void fallocate_punch_hole(Cpu& cpu, KernelState& kernel, AddressSpace& mapping, PageRange range);

}  // namespace mmusim::rmap
