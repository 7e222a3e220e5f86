// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "rmap/mm/interval_tree.hpp"
#include "rmap/mm/page.hpp"
#include "rmap/mm/vma.hpp"

namespace mmusim::rmap {

struct KernelState;

/// struct anon_vma: the VMAs in which the pages that point to it may be mapped. Its memory stays an
/// anon_vma for ever, that one or a later one (the kernel's SLAB_TYPESAFE_BY_RCU, made permanent),
/// so whoever finds a stale address in page->mapping may still look at it.
struct AnonVma {
    explicit AnonVma(PhysAddr at) : line(at), rwsem(at), refcount(at + 8) {}

    const PhysAddr line;
    RwLock rwsem;             ///< only the root's is ever taken
    const PhysAddr refcount;  ///< word: VMAs do not count, children and walkers do

    // The root's rwsem guards the rest.
    AnonVma* root = this;
    AnonVma* parent = this;
    unsigned degree = 1;  ///< child anon_vmas, and VMAs whose vma->anon_vma this is
    IntervalTree<Vma> rb_root;
};

/// All anon_vmas by the address of their line. Only looked up, never iterated.
class AnonVmaTable {
public:
    explicit AnonVmaTable(std::size_t cpus) : freed_(cpus) {}

    /// anon_vma_alloc(): one reference, degree 1, its own root. The line is one that this CPU has
    /// freed, or comes from its slab.
    AnonVma& alloc(Cpu& cpu, KernelMemory& memory);
    /// anon_vma_free(): it has no VMA and no reference. In v5.0 it may be allocated again at once,
    /// after waiting for walkers that hold its semaphore without a reference; here a grace period
    /// later, when nobody who has found a stale address can still be reading its root.
    void free(Cpu& cpu, AnonVma& anon_vma);
    AnonVma& at(PhysAddr line) const;

private:
    struct Freed {
        AnonVma* anon_vma;
        Instant at;
    };

    AnonVma* reuse(Cpu& cpu);

    std::unordered_map<PhysAddr, std::unique_ptr<AnonVma>> by_line_;
    std::vector<std::deque<Freed>> freed_;  ///< per CPU, which alone touches it; oldest first
};

/// vma->anon_vma as this CPU sees it; nullptr if there is none.
AnonVma* vma_anon_vma(Cpu& cpu, KernelState& kernel, const Vma& vma);

/// anon_vma_lock_write() and friends: the root's semaphore, with the event.
void anon_vma_lock_write(Cpu& cpu, AnonVma& anon_vma);
void anon_vma_unlock_write(Cpu& cpu, AnonVma& anon_vma);
void anon_vma_lock_read(Cpu& cpu, AnonVma& anon_vma);
bool anon_vma_trylock_read(Cpu& cpu, AnonVma& anon_vma);
void anon_vma_unlock_read(Cpu& cpu, AnonVma& anon_vma);

/// page_anon_vma(); the page is anonymous.
AnonVma& page_anon_vma(KernelState& kernel, PageMapping mapping);

/// page_get_anon_vma(): a reference to the anon_vma of a mapped page, or nullptr.
AnonVma* page_get_anon_vma(Cpu& cpu, KernelState& kernel, const Page& page);
bool atomic_inc_not_zero(Cpu& cpu, PhysAddr word);
bool atomic_dec_and_test(Cpu& cpu, PhysAddr word);
/// put_anon_vma(): frees it with the last reference.
void put_anon_vma(Cpu& cpu, KernelState& kernel, AnonVma& anon_vma);
/// __put_anon_vma(): frees one that has no reference left; that was one to its root.
void free_unused_anon_vma(Cpu& cpu, KernelState& kernel, AnonVma& anon_vma);

/// anon_vma_prepare(): makes sure that the VMA has an anon_vma before its first anonymous page.
/// mmap_sem held for reading.
void anon_vma_prepare(Cpu& cpu, KernelState& kernel, Vma& vma);

/// anon_vma_fork(): the child's VMA joins all anon_vmas of its parent's and gets one of its own.
/// Both mmap_sems held for writing.
void anon_vma_fork(Cpu& cpu, KernelState& kernel, Vma& vma, const Vma& pvma);

/// anon_vma_clone(): `dst` joins every anon_vma of `src`. mmap_sem held for writing.
void anon_vma_clone(Cpu& cpu, KernelState& kernel, Vma& dst, const Vma& src);

/// unlink_anon_vmas(): the VMA leaves all its trees. It is detached, so that nobody else
/// finds it, and mmap_sem is held.
void unlink_anon_vmas(Cpu& cpu, KernelState& kernel, Vma& vma);

}  // namespace mmusim::rmap
