// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/vma.hpp"

#include "rmap/mm/address_space.hpp"

namespace mmusim::rmap {

bool Vma::wants_writenotify() const {
    return vm_file && has(VmFlags::kShared | VmFlags::kWrite) && vm_file->account_dirty();
}

std::uint64_t Vma::page_prot() const {
    const bool writable =
        vm_file && has(VmFlags::kShared | VmFlags::kWrite) && !wants_writenotify();
    return vm_get_page_prot(vm_flags) | (writable ? Pte::kWritable : 0);
}

void set_vm_flags(Cpu& cpu, Vma& vma, std::uint64_t vm_flags) {
    vma.vm_flags = vm_flags;
    cpu.memory().store(vma.vm_flags_word(), {vm_flags, 0}, Part::kPageState);
}

std::uint64_t read_vm_flags(Cpu& cpu, const Vma& vma) {
    return cpu.memory().load(vma.vm_flags_word(), Part::kRmapWalk).value;
}

}  // namespace mmusim::rmap
