// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/anon_vma.hpp"

#include "rmap/mm/kernel_state.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

/// Longer than anybody needs from finding an anon_vma to having its semaphore or a reference.
constexpr Duration kGracePeriod = nanoseconds(1'000'000);

void set_vma_anon_vma(Cpu& cpu, const Vma& vma, const AnonVma* anon_vma) {
    cpu.memory().store(vma.anon_vma, {anon_vma ? anon_vma->line.value : 0, 0}, Part::kPageState);
}

void get_anon_vma(Cpu& cpu, const AnonVma& anon_vma) {
    cpu.memory().fetch_add(anon_vma.refcount, 1, Part::kPageState);
}

void anon_vma_chain_link(Vma& vma, AnonVma& anon_vma) {
    vma.anon_vma_chain.push_front(&anon_vma);
    anon_vma.rb_root.insert(vma, vma.first_pgoff(), vma.last_pgoff());
}

/// lock_anon_vma_root(): goes on with `locked` if that is the root already.
AnonVma& lock_anon_vma_root(Cpu& cpu, AnonVma* locked, AnonVma& anon_vma) {
    AnonVma& root = *anon_vma.root;
    if (locked == &root) return root;
    if (locked) anon_vma_unlock_write(cpu, *locked);
    anon_vma_lock_write(cpu, root);
    return root;
}

/// anon_vma_compatible(): `b` could be the rest of `a`.
bool anon_vma_compatible(const Vma& a, const Vma& b) {
    constexpr auto kMayDiffer = VmFlags::kRead | VmFlags::kWrite | VmFlags::kExec;
    return a.vm_end == b.vm_start && a.vm_file == b.vm_file &&
           ((a.vm_flags ^ b.vm_flags) & ~kMayDiffer) == 0 && b.vm_pgoff == a.last_pgoff() + 1;
}

/// reusable_anon_vma()
AnonVma* reusable_anon_vma(Cpu& cpu, KernelState& kernel, const Vma& old) {
    AnonVma* anon_vma = vma_anon_vma(cpu, kernel, old);
    // A second AVC comes from fork, which excludes faults; the first one may be joining right now,
    // and does not change the answer.
    return anon_vma && old.anon_vma_chain.size() <= 1 ? anon_vma : nullptr;
}

/// find_mergeable_anon_vma(): that of a neighbour with which the VMA may be merged some day.
AnonVma* find_mergeable_anon_vma(Cpu& cpu, KernelState& kernel, const Vma& vma) {
    const Vma* next = vma.vm_mm->next(vma);
    if (next && anon_vma_compatible(vma, *next))
        if (AnonVma* anon_vma = reusable_anon_vma(cpu, kernel, *next)) return anon_vma;
    const Vma* previous = vma.vm_mm->previous(vma);
    if (previous && anon_vma_compatible(*previous, vma))
        return reusable_anon_vma(cpu, kernel, *previous);
    return nullptr;
}

}  // namespace

AnonVma* AnonVmaTable::reuse(Cpu& cpu) {
    auto& freed = freed_.at(cpu.id());
    if (freed.empty() || cpu.now() < freed.front().at + kGracePeriod) return nullptr;
    // From here on no CPU is behind, so the grace period is over for all of them.
    cpu.time().sync_before_visible_action();
    AnonVma& anon_vma = *freed.front().anon_vma;
    freed.pop_front();
    anon_vma.root = anon_vma.parent = &anon_vma;
    anon_vma.degree = 1;
    return &anon_vma;
}

AnonVma& AnonVmaTable::alloc(Cpu& cpu, KernelMemory& memory) {
    AnonVma* anon_vma = reuse(cpu);
    if (!anon_vma) {
        const PhysAddr line = memory.allocate_object(cpu.id());
        anon_vma = by_line_.emplace(line, std::make_unique<AnonVma>(line)).first->second.get();
    }
    cpu.memory().store(anon_vma->refcount, {1, 0}, Part::kPageState);
    return *anon_vma;
}

void AnonVmaTable::free(Cpu& cpu, AnonVma& anon_vma) {
    MMUSIM_CHECK(anon_vma.rb_root.empty(), "an anon_vma outlives its VMAs");
    freed_.at(cpu.id()).push_back({&anon_vma, cpu.now()});
}

AnonVma& AnonVmaTable::at(PhysAddr line) const { return *by_line_.at(line); }

AnonVma* vma_anon_vma(Cpu& cpu, KernelState& kernel, const Vma& vma) {
    const PhysAddr line{cpu.memory().load(vma.anon_vma, Part::kPageState).value};
    return line.value ? &kernel.anon_vmas.at(line) : nullptr;
}

void anon_vma_lock_write(Cpu& cpu, AnonVma& anon_vma) {
    anon_vma.root->rwsem.lock_write(cpu);
    cpu.emit(Event::kRmapLock, {anon_vma.root->rwsem.word().value});
}

void anon_vma_unlock_write(Cpu& cpu, AnonVma& anon_vma) {
    cpu.emit(Event::kRmapUnlock, {anon_vma.root->rwsem.word().value});
    anon_vma.root->rwsem.unlock_write(cpu);
}

void anon_vma_lock_read(Cpu& cpu, AnonVma& anon_vma) {
    anon_vma.root->rwsem.lock_read(cpu);
    cpu.emit(Event::kRmapLock, {anon_vma.root->rwsem.word().value});
}

bool anon_vma_trylock_read(Cpu& cpu, AnonVma& anon_vma) {
    if (!anon_vma.root->rwsem.try_lock_read(cpu)) return false;
    cpu.emit(Event::kRmapLock, {anon_vma.root->rwsem.word().value});
    return true;
}

void anon_vma_unlock_read(Cpu& cpu, AnonVma& anon_vma) {
    cpu.emit(Event::kRmapUnlock, {anon_vma.root->rwsem.word().value});
    anon_vma.root->rwsem.unlock_read(cpu);
}

AnonVma& page_anon_vma(KernelState& kernel, PageMapping mapping) {
    MMUSIM_CHECK(mapping.anon(), "only anonymous pages have an anon_vma");
    return kernel.anon_vmas.at(mapping.object());
}

bool atomic_inc_not_zero(Cpu& cpu, PhysAddr word) {
    const auto increment = [](Word old, Instant) { return Word{old.value ? old.value + 1 : 0, 0}; };
    return cpu.memory().read_modify_write(word, increment, Part::kPageState).value != 0;
}

AnonVma* page_get_anon_vma(Cpu& cpu, KernelState& kernel, const Page& page) {
    const PageMapping mapping = page.mapping(cpu);
    if (!mapping.anon() || !page_mapped(cpu, page)) return nullptr;
    AnonVma& anon_vma = page_anon_vma(kernel, mapping);
    if (!atomic_inc_not_zero(cpu, anon_vma.refcount)) return nullptr;
    // While the page is mapped, its anon_vma cannot have been freed and used for another purpose.
    if (page_mapped(cpu, page)) return &anon_vma;
    put_anon_vma(cpu, kernel, anon_vma);
    return nullptr;
}

bool atomic_dec_and_test(Cpu& cpu, PhysAddr word) {
    return cpu.memory().fetch_add(word, -1, Part::kPageState) == 0;
}

void put_anon_vma(Cpu& cpu, KernelState& kernel, AnonVma& anon_vma) {
    if (atomic_dec_and_test(cpu, anon_vma.refcount)) free_unused_anon_vma(cpu, kernel, anon_vma);
}

void free_unused_anon_vma(Cpu& cpu, KernelState& kernel, AnonVma& anon_vma) {
    AnonVma& root = *anon_vma.root;
    kernel.anon_vmas.free(cpu, anon_vma);
    if (&root != &anon_vma) put_anon_vma(cpu, kernel, root);
}

void anon_vma_prepare(Cpu& cpu, KernelState& kernel, Vma& vma) {
    if (vma_anon_vma(cpu, kernel, vma)) return;

    AnonVma* anon_vma = find_mergeable_anon_vma(cpu, kernel, vma);
    AnonVma* allocated = nullptr;
    if (!anon_vma) anon_vma = allocated = &kernel.anon_vmas.alloc(cpu, kernel.memory);

    anon_vma_lock_write(cpu, *anon_vma);
    vma.vm_mm->page_table_lock.lock(cpu);
    if (!vma_anon_vma(cpu, kernel, vma)) {
        set_vma_anon_vma(cpu, vma, anon_vma);
        anon_vma_chain_link(vma, *anon_vma);
        ++anon_vma->degree;  // the VMA's; a new root's own one stands for its link to itself
        allocated = nullptr;
    }
    vma.vm_mm->page_table_lock.unlock(cpu);
    anon_vma_unlock_write(cpu, *anon_vma);
    if (allocated) put_anon_vma(cpu, kernel, *allocated);
}

void anon_vma_clone(Cpu& cpu, KernelState& kernel, Vma& dst, const Vma& src) {
    const AnonVma* src_anon_vma = vma_anon_vma(cpu, kernel, src);
    AnonVma* dst_anon_vma = vma_anon_vma(cpu, kernel, dst);
    AnonVma* root = nullptr;
    for (auto pavc = src.anon_vma_chain.rbegin(); pavc != src.anon_vma_chain.rend(); ++pavc) {
        AnonVma& anon_vma = **pavc;
        root = &lock_anon_vma_root(cpu, root, anon_vma);
        anon_vma_chain_link(dst, anon_vma);
        // An anon_vma that only one process is left to use is reused, or endless forking of the
        // last child would make endlessly many.
        if (!dst_anon_vma && &anon_vma != src_anon_vma && anon_vma.degree < 2)
            dst_anon_vma = &anon_vma;
    }
    if (dst_anon_vma) {
        ++dst_anon_vma->degree;
        set_vma_anon_vma(cpu, dst, dst_anon_vma);
    }
    if (root) anon_vma_unlock_write(cpu, *root);
}

void anon_vma_fork(Cpu& cpu, KernelState& kernel, Vma& vma, const Vma& pvma) {
    AnonVma* parent = vma_anon_vma(cpu, kernel, pvma);
    if (!parent) return;
    set_vma_anon_vma(cpu, vma, nullptr);
    anon_vma_clone(cpu, kernel, vma, pvma);
    if (vma_anon_vma(cpu, kernel, vma)) return;

    AnonVma& anon_vma = kernel.anon_vmas.alloc(cpu, kernel.memory);
    anon_vma.root = parent->root;
    anon_vma.parent = parent;
    get_anon_vma(cpu, *anon_vma.root);
    set_vma_anon_vma(cpu, vma, &anon_vma);
    anon_vma_lock_write(cpu, anon_vma);
    anon_vma_chain_link(vma, anon_vma);
    ++anon_vma.parent->degree;
    anon_vma_unlock_write(cpu, anon_vma);
}

void unlink_anon_vmas(Cpu& cpu, KernelState& kernel, Vma& vma) {
    AnonVma* root = nullptr;
    std::deque<AnonVma*> empty;
    for (AnonVma* anon_vma : vma.anon_vma_chain) {
        root = &lock_anon_vma_root(cpu, root, *anon_vma);
        anon_vma->rb_root.remove(vma, vma.first_pgoff());
        if (!anon_vma->rb_root.empty()) continue;
        --anon_vma->parent->degree;
        empty.push_back(anon_vma);
    }
    vma.anon_vma_chain.clear();
    if (AnonVma* own = vma_anon_vma(cpu, kernel, vma)) --own->degree;
    if (root) anon_vma_unlock_write(cpu, *root);
    // Dropping the last reference of a child drops one of its root, which may not be done with
    // the root's semaphore held.
    for (AnonVma* anon_vma : empty) put_anon_vma(cpu, kernel, *anon_vma);
}

}  // namespace mmusim::rmap
