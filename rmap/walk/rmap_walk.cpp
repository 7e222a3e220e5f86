// SPDX-License-Identifier: Apache-2.0
#include "rmap/walk/rmap_walk.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

/// The part of both walks that deals with one VMA.
Visit walk_one(Cpu& cpu, const Page& page, const RmapWalkControl& control, Vma& vma) {
    cpu.spend(cpu.costs().rmap_walk_vma, Part::kRmapWalk);
    if (control.invalid_vma && (*control.invalid_vma)(vma)) return Visit::kContinue;
    if (!control.rmap_one(vma, vma.address_of_index(page.index))) return Visit::kStop;
    return control.done && (*control.done)() ? Visit::kStop : Visit::kContinue;
}

/// rmap_walk_anon_lock()
AnonVma* rmap_walk_anon_lock(Cpu& cpu, KernelState& kernel, const Page& page, AnonLock how) {
    if (how) return how(cpu, kernel, page);
    const PageMapping mapping = page.mapping(cpu);
    if (!mapping.anon()) return nullptr;
    AnonVma& anon_vma = page_anon_vma(kernel, mapping);
    anon_vma_lock_read(cpu, anon_vma);
    return &anon_vma;
}

void rmap_walk_anon(Cpu& cpu, KernelState& kernel, Page& page, const RmapWalkControl& control) {
    cpu.emit(Event::kRmapWalkAnon, {page.pfn().value, 0});
    cpu.spend(cpu.costs().rmap_walk_start, Part::kRmapWalk);
    if (AnonVma* anon_vma = rmap_walk_anon_lock(cpu, kernel, page, control.anon_lock)) {
        anon_vma->rb_root.for_each_overlap(
            page.index, page.index, [&](Vma& vma) { return walk_one(cpu, page, control, vma); });
        anon_vma_unlock_read(cpu, *anon_vma);
    }
    cpu.emit(Event::kRmapWalkAnonRet);
}

void rmap_walk_file(Cpu& cpu, KernelState& kernel, Page& page, PageMapping page_mapping,
                    const RmapWalkControl& control) {
    MMUSIM_CHECK(page.lock.held_by(cpu),
                 "a page of a file is locked while its mappings are walked");
    cpu.emit(Event::kRmapWalkFile, {page.pfn().value, 0});
    cpu.spend(cpu.costs().rmap_walk_start, Part::kRmapWalk);
    if (!page_mapping.null()) {
        AddressSpace& mapping = kernel.file_of(page_mapping);
        i_mmap_lock_read(cpu, mapping);
        mapping.i_mmap.for_each_overlap(
            page.index, page.index, [&](Vma& vma) { return walk_one(cpu, page, control, vma); });
        i_mmap_unlock_read(cpu, mapping);
    }
    cpu.emit(Event::kRmapWalkFileRet);
}

/// The semaphore is contended: hold on to the anon_vma by a reference while sleeping.
AnonVma* page_lock_anon_vma_read_slow(Cpu& cpu, KernelState& kernel, const Page& page,
                                      AnonVma& anon_vma) {
    if (!atomic_inc_not_zero(cpu, anon_vma.refcount)) return nullptr;
    if (!page_mapped(cpu, page)) {
        put_anon_vma(cpu, kernel, anon_vma);
        return nullptr;
    }
    anon_vma_lock_read(cpu, anon_vma);
    if (!atomic_dec_and_test(cpu, anon_vma.refcount)) return &anon_vma;
    anon_vma_unlock_read(cpu, anon_vma);
    free_unused_anon_vma(cpu, kernel, anon_vma);
    return nullptr;
}

}  // namespace

AnonVma* page_lock_anon_vma_read(Cpu& cpu, KernelState& kernel, const Page& page) {
    cpu.emit(Event::kLockAnonVmaRead, {page.pfn().value});
    const PageMapping mapping = page.mapping(cpu);
    if (!mapping.anon() || !page_mapped(cpu, page)) return nullptr;
    AnonVma& anon_vma = page_anon_vma(kernel, mapping);
    if (!anon_vma_trylock_read(cpu, anon_vma))
        return page_lock_anon_vma_read_slow(cpu, kernel, page, anon_vma);
    // A page that is still mapped keeps its anon_vma; no reference is needed.
    if (page_mapped(cpu, page)) return &anon_vma;
    anon_vma_unlock_read(cpu, anon_vma);
    return nullptr;
}

void rmap_walk(Cpu& cpu, KernelState& kernel, Page& page, const RmapWalkControl& control) {
    const PageMapping mapping = page.mapping(cpu);
    if (mapping.anon())
        rmap_walk_anon(cpu, kernel, page, control);
    else
        rmap_walk_file(cpu, kernel, page, mapping, control);
}

}  // namespace mmusim::rmap
