// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/vma.hpp"

#include "rmap/mm/address_space.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::uint64_t kSharedWritable = VmFlags::kShared | VmFlags::kWrite;

}  // namespace

bool Vma::wants_writenotify(std::uint64_t flags) const {
    return vm_file && (flags & kSharedWritable) == kSharedWritable && vm_file->account_dirty();
}

std::uint64_t Vma::page_prot(std::uint64_t flags) const {
    const bool writable =
        vm_file && (flags & kSharedWritable) == kSharedWritable && !wants_writenotify(flags);
    return vm_get_page_prot(flags) | (writable ? Pte::kWritable : 0);
}

void set_vm_flags(Cpu& cpu, Vma& vma, std::uint64_t vm_flags) {
    vma.vm_flags = vm_flags;
    cpu.memory().store(vma.vm_flags_word(), {vm_flags, 0}, Part::kPageState);
}

std::uint64_t read_vm_flags(Cpu& cpu, const Vma& vma) {
    return cpu.memory().load(vma.vm_flags_word(), Part::kRmapWalk).value;
}

}  // namespace mmusim::rmap
