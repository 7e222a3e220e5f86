// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/vma_adjust.hpp"

#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

void insert_into_anon_trees(Vma& vma) {
    for (AnonVma* anon_vma : vma.anon_vma_chain)
        anon_vma->rb_root.insert(vma, vma.first_pgoff(), vma.last_pgoff());
}

void remove_from_anon_trees(Vma& vma) {
    for (AnonVma* anon_vma : vma.anon_vma_chain) anon_vma->rb_root.remove(vma, vma.first_pgoff());
}

void insert_into_i_mmap(Vma& vma) {
    if (vma.vm_file) vma.vm_file->i_mmap.insert(vma, vma.first_pgoff(), vma.last_pgoff());
}

void remove_from_i_mmap(Vma& vma) {
    if (vma.vm_file) vma.vm_file->i_mmap.remove(vma, vma.first_pgoff());
}

/// The variables of __vma_adjust().
struct Adjustment {
    Cpu& cpu;
    KernelState& kernel;
    Mm& mm;
    Vma* vma;
    Vma* next;  ///< whom it concerns besides
    VmaBounds to;
    std::unique_ptr<Vma> insert;
    bool remove_next = false;
    VirtAddr next_start{};  ///< of a neighbour that stays; 0: it keeps its own

    bool adjust_next() const { return next_start.value != 0; }
};

/// Pages come to `importer`, and they may be anonymous.
void import_anon_vma(Cpu& cpu, KernelState& kernel, Vma& importer, const Vma& exporter) {
    const AnonVma* anon_vma = vma_anon_vma(cpu, kernel, exporter);
    if (!anon_vma || vma_anon_vma(cpu, kernel, importer)) return;
    cpu.memory().store(importer.anon_vma, {anon_vma->line.value, 0}, Part::kPageState);
    anon_vma_clone(cpu, kernel, importer, exporter);
}

/// What happens to the neighbour. The numbers are the cases of vma_merge().
void plan_neighbour(Adjustment& plan, const Vma* expand) {
    Vma& vma = *plan.vma;
    Vma& next = *plan.next;
    const VirtAddr end = plan.to.range.end;
    Cpu& cpu = plan.cpu;
    if (end >= next.vm_end) {
        plan.remove_next = true;
        if (&next == expand) {  // case 8: the neighbour takes the VMA over
            std::swap(plan.vma, plan.next);
        } else if (end > next.vm_end && !vma_anon_vma(cpu, plan.kernel, next)) {
            // Case 6: the one behind the neighbour goes as well, and it may be the one with pages.
            import_anon_vma(cpu, plan.kernel, vma, *plan.mm.next(next));
            return;
        }
        import_anon_vma(cpu, plan.kernel, *plan.vma, *plan.next);
    } else if (end > next.vm_start) {  // case 5: the boundary moves up
        plan.next_start = end;
        import_anon_vma(cpu, plan.kernel, vma, next);
    } else if (end < vma.vm_end) {  // case 4: the boundary moves down
        plan.next_start = end;
        import_anon_vma(cpu, plan.kernel, next, vma);
    } else {
        plan.next = nullptr;
    }
}

/// A VMA is found in mm->mmap by its start.
void set_start(Mm& mm, Vma& vma, VirtAddr start) {
    if (vma.vm_start == start) return;
    auto node = mm.mmap.extract(vma.vm_start);
    node.key() = vma.vm_start = start;
    MMUSIM_CHECK(mm.mmap.insert(std::move(node)).inserted, "two VMAs do not start at one address");
}

/// With the locks of all trees held. Returns the neighbour if it is gone.
std::unique_ptr<Vma> change_ranges(Adjustment& plan) {
    Vma& vma = *plan.vma;
    if (plan.insert) insert_into_i_mmap(*plan.insert);
    remove_from_anon_trees(vma);
    if (plan.adjust_next()) remove_from_anon_trees(*plan.next);
    remove_from_i_mmap(vma);
    if (plan.adjust_next()) remove_from_i_mmap(*plan.next);

    std::unique_ptr<Vma> removed;
    if (plan.remove_next) {
        remove_from_i_mmap(*plan.next);
        removed = unlink_vma(plan.mm, *plan.next);
    }
    set_start(plan.mm, vma, plan.to.range.start);
    vma.vm_end = plan.to.range.end;
    vma.vm_pgoff = plan.to.pgoff;
    if (plan.adjust_next()) {
        // Page numbers wrap as addresses do, so this is right in both directions.
        plan.next->vm_pgoff += page_of(plan.next_start).value - page_of(plan.next->vm_start).value;
        set_start(plan.mm, *plan.next, plan.next_start);
    }

    if (plan.adjust_next()) insert_into_i_mmap(*plan.next);
    insert_into_i_mmap(vma);
    if (plan.insert) link_vma(plan.mm, std::move(plan.insert));
    insert_into_anon_trees(vma);
    if (plan.adjust_next()) insert_into_anon_trees(*plan.next);
    return removed;
}

void adjust(Adjustment& plan) {
    Cpu& cpu = plan.cpu;
    AddressSpace* file = plan.vma->vm_file;
    if (file) i_mmap_lock_write(cpu, *file);
    AnonVma* anon_vma = vma_anon_vma(cpu, plan.kernel, *plan.vma);
    if (!anon_vma && plan.adjust_next()) anon_vma = vma_anon_vma(cpu, plan.kernel, *plan.next);
    if (anon_vma) anon_vma_lock_write(cpu, *anon_vma);
    auto removed = change_ranges(plan);
    if (anon_vma) anon_vma_unlock_write(cpu, *anon_vma);
    if (file) i_mmap_unlock_write(cpu, *file);
    if (!removed) return;
    unlink_anon_vmas(cpu, plan.kernel, *removed);  // anon_vma_merge()
    vm_area_free(cpu, plan.kernel, std::move(removed));
}

}  // namespace

std::unique_ptr<Vma> vm_area_alloc(Cpu& cpu, KernelState& kernel) {
    auto vma = std::make_unique<Vma>();
    vma->anon_vma = kernel.memory.allocate_object(cpu.id());
    return vma;
}

std::unique_ptr<Vma> vm_area_dup(Cpu& cpu, KernelState& kernel, const Vma& original) {
    auto vma = std::make_unique<Vma>(original);
    vma->anon_vma_chain.clear();
    vma->anon_vma = kernel.memory.allocate_object(cpu.id());
    if (const AnonVma* anon_vma = vma_anon_vma(cpu, kernel, original))
        cpu.memory().store(vma->anon_vma, {anon_vma->line.value, 0}, Part::kPageState);
    set_vm_flags(cpu, *vma, original.vm_flags);
    const Word readahead = cpu.memory().load(original.swap_readahead_info(), Part::kPageState);
    cpu.memory().store(vma->swap_readahead_info(), readahead, Part::kPageState);
    return vma;
}

void vm_area_free(Cpu& cpu, KernelState& kernel, std::unique_ptr<Vma> vma) {
    cpu.memory().store(vma->anon_vma, {}, Part::kPageState);
    cpu.memory().store(vma->swap_readahead_info(), {}, Part::kPageState);
    kernel.memory.free_object(cpu.id(), vma->anon_vma);
}

Vma& link_vma(Mm& mm, std::unique_ptr<Vma> vma) {
    vma->vm_mm = &mm;
    Vma& linked = *vma;
    MMUSIM_CHECK(mm.mmap.emplace(linked.vm_start, std::move(vma)).second,
                 "two VMAs of an mm do not start at one address");
    return linked;
}

std::unique_ptr<Vma> unlink_vma(Mm& mm, const Vma& vma) {
    return std::move(mm.mmap.extract(vma.vm_start).mapped());
}

void vma_adjust(Cpu& cpu, KernelState& kernel, Vma& vma, const VmaBounds& to,
                std::unique_ptr<Vma> insert, const Vma* expand) {
    Mm& mm = *vma.vm_mm;
    Vma* next = insert ? nullptr : mm.next(vma);
    Adjustment plan{cpu, kernel, mm, &vma, next, to, std::move(insert)};
    if (next) plan_neighbour(plan, expand);
    const VirtAddr end = to.range.end;
    if (plan.remove_next && plan.vma == &vma && end > next->vm_end) {
        // Case 6, in two steps: the neighbour here, and then the one behind it.
        plan.to.range.end = next->vm_end;
        adjust(plan);
        return vma_adjust(cpu, kernel, vma, to, nullptr, expand);
    }
    adjust(plan);
}

Vma& split_vma(Cpu& cpu, KernelState& kernel, Vma& vma, VirtAddr address, NewPart new_part) {
    auto created = vm_area_dup(cpu, kernel, vma);
    VmaBounds rest{vma.range(), vma.vm_pgoff};
    if (new_part == NewPart::kBelow) {
        created->vm_end = address;
        rest = {{address, vma.vm_end}, vma.page_index(address)};
    } else {
        created->vm_start = address;
        created->vm_pgoff = vma.page_index(address);
        rest.range.end = address;
    }
    anon_vma_clone(cpu, kernel, *created, vma);
    Vma& part = *created;
    vma_adjust(cpu, kernel, vma, rest, std::move(created));
    return part;
}

}  // namespace mmusim::rmap
