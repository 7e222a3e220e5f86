// SPDX-License-Identifier: Apache-2.0
// The program's own memory, for operations that walk whole address spaces.
#include <algorithm>

#include "platform/conform/workload.hpp"
#include "rmap/mm/address_space.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_table.hpp"

namespace mmusim::platform {

using rmap::Access;
using rmap::Part;
using rmap::Pte;
using rmap::VirtAddr;
using rmap::VirtRange;
using rmap::VmFlags;

namespace {

constexpr std::uint64_t kStateBits = Pte::kAccessed | Pte::kDirty | Pte::kWritable;

VirtRange page_at(VirtAddr address) { return {address, address + rmap::kPageSize}; }

}  // namespace

/// Flags that nobody has shown: any will do that allow what the pages show.
std::uint64_t Workload::flags_of(const ProgramArea& area) const {
    if (area.vm_flags) return area.vm_flags;
    std::uint64_t flags = VmFlags::kRead | VmFlags::kWrite | VmFlags::kMayRead |
                          VmFlags::kMayWrite | VmFlags::kMayExec;
    for (const auto& process : program_.ptes)
        for (const auto& [address, pte] : process.second)
            if (area.range.contains(address) && !(pte & Pte::kNoExecute)) flags |= VmFlags::kExec;
    return flags;
}

/// Private mappings of the program's file: what was never written is the file's page, the rest
/// anonymous. Neighbours map pages that are far apart, so that they stay what they are.
void Workload::map_program(models::CoreModule& core, rmap::Cpu& cpu) {
    auto& kernel = machine_.kernel();
    std::uint64_t pages = 0;
    for (const auto& area : program_.areas) pages += area.range.pages() + 1;
    auto& file = kernel.create_file("program", pages);
    std::uint64_t pgoff = 0;
    for (const auto& area : program_.areas) {
        rmap::MmapRequest request;
        request.range = area.range;
        request.vm_flags = flags_of(area);
        const bool shared = request.vm_flags & VmFlags::kShared;
        request.file = shared ? &kernel.create_shmem("shared", area.range.pages()) : &file;
        request.pgoff = shared ? 0 : pgoff;
        pgoff += area.range.pages() + 1;
        map_program_area(core, cpu, request);
    }
}

/// What is written first and protected then was writable in between.
void Workload::map_program_area(models::CoreModule& core, rmap::Cpu& cpu,
                                rmap::MmapRequest request) {
    auto& kernel = machine_.kernel();
    const std::uint64_t flags = request.vm_flags;
    const auto& ptes = program_ptes("main");
    const auto first = ptes.lower_bound(request.range.start);
    const auto last = ptes.lower_bound(request.range.end);
    const bool written = std::any_of(
        first, last, [](const auto& page) { return first_access(page.second) == Access::kWrite; });
    if (written) request.vm_flags |= VmFlags::kWrite;
    kernel.mmap(cpu, main_mm(), request);
    for (auto page = first; page != last; ++page)
        touch(core, cpu, main_mm(), page->first, first_access(page->second));
    for (const auto& [address, access] : sure_pages("main"))
        if (request.range.contains(address) && !is_present(cpu, main_mm(), address))
            touch(core, cpu, main_mm(), address, access);
    if (request.vm_flags != flags)
        kernel.mprotect(cpu, main_mm(), request.range, flags & VmFlags::kAccessFlags);
}

/// Each process gets the pages and the page tables that it was seen with.
void Workload::plan_program() {
    if (program_.empty()) return;
    if (arguments_.op == "fork")
        act(operator_().name, [this](auto& core, rmap::Cpu& cpu) {
            for (const VirtAddr address : program_.unshared)
                touch(core, cpu, *operator_().mm, address, Access::kWrite);
        });
    for (unsigned n = 0; n < arguments_.procs; ++n) {
        const std::string name = process_name(n);
        act(name, [this, name](auto& core, rmap::Cpu& cpu) { match_presence(core, cpu, name); });
    }
    for (unsigned n = 0; n < arguments_.procs; ++n) {
        const std::string name = process_name(n);
        act(name, [this, name](auto& core, rmap::Cpu& cpu) { match_copies(core, cpu, name); });
    }
    for (unsigned n = 0; n < arguments_.procs; ++n) {
        const std::string name = process_name(n);
        act(name, [this, name](auto&, rmap::Cpu& cpu) { match_bits(cpu, name); });
    }
}

const std::map<VirtAddr, std::uint64_t>& Workload::program_ptes(const std::string& name) const {
    static const std::map<VirtAddr, std::uint64_t> kNone;
    for (const auto& [pointer, ptes] : program_.ptes)
        if (name_of(pointer) == name) return ptes;
    return kNone;
}

const std::map<VirtAddr, Access>& Workload::sure_pages(const std::string& name) const {
    static const std::map<VirtAddr, Access> kNone;
    for (const auto& [pointer, pages] : program_.sure)
        if (name_of(pointer) == name) return pages;
    return kNone;
}

bool Workload::is_present(rmap::Cpu& cpu, rmap::Mm& mm, VirtAddr address) {
    const auto word = machine_.kernel().read_pte(cpu, mm, address);
    return word && Pte{word->value}.present();
}

void Workload::match_presence(models::CoreModule& core, rmap::Cpu& cpu, const std::string& name) {
    auto& kernel = machine_.kernel();
    rmap::Mm& mm = *member(name).mm;
    for (const auto& [pointer, addresses] : program_.tables) {
        if (name_of(pointer) != name) continue;
        for (const VirtAddr address : addresses) {
            rmap::mmap_sem_lock_read(cpu, mm);
            rmap::pte_alloc(cpu, kernel.state(), mm, address, rmap::Part::kFault);
            rmap::mmap_sem_unlock_read(cpu, mm);
        }
    }
    const auto& ptes = program_ptes(name);
    for (const auto& [address, pte] : ptes)
        if (!is_present(cpu, mm, address)) touch(core, cpu, mm, address, first_access(pte));
    const auto& sure = sure_pages(name);
    for (const auto& [address, access] : sure)
        if (!is_present(cpu, mm, address)) touch(core, cpu, mm, address, access);
    if (ptes.empty()) return;
    for (const auto& area : program_.areas)
        for (VirtAddr at = area.range.start; at < area.range.end; at = at + rmap::kPageSize)
            if (!ptes.count(at) && !sure.count(at) && is_present(cpu, mm, at))
                kernel.madvise(cpu, mm, page_at(at), rmap::Madvise::kDontneed);
}

/// Who shares a page with somebody here, but did not there, has written to it since the fork.
void Workload::match_copies(models::CoreModule& core, rmap::Cpu& cpu, const std::string& name) {
    auto& kernel = machine_.kernel();
    rmap::Mm& mm = *member(name).mm;
    const auto& ptes = program_ptes(name);
    for (const auto& [address, theirs] : ptes) {
        const auto shares = [&, address = address, theirs = theirs](unsigned n) {
            const auto& others = program_ptes(process_name(n));
            if (process_name(n) == name || !others.count(address)) return false;
            const auto mine = kernel.read_pte(cpu, mm, address);
            const auto other = kernel.read_pte(cpu, *member(process_name(n)).mm, address);
            return mine && other && Pte{mine->value}.frame() == Pte{other->value}.frame() &&
                   Pte{others.at(address)}.frame() != Pte{theirs}.frame();
        };
        for (unsigned n = 0; n < arguments_.procs; ++n) {
            if (!shares(n)) continue;
            touch(core, cpu, mm, address, Access::kWrite);
            break;
        }
    }
}

/// As the pages were when they were first seen.
void Workload::match_bits(rmap::Cpu& cpu, const std::string& name) {
    auto& state = machine_.kernel().state();
    rmap::Mm& mm = *member(name).mm;
    const auto& ptes = program_ptes(name);
    for (const auto& [address, theirs] : ptes) {
        const auto slot = rmap::find_pte(cpu, state, mm, address, Part::kUser);
        if (!slot) continue;
        const Pte ours{rmap::read_pte(cpu, slot->ptep, Part::kUser).value};
        const std::uint64_t wrong = (ours.raw() ^ theirs) & kStateBits;
        rmap::pte_clear_bits(cpu, slot->ptep, wrong & ours.raw(), Part::kUser);
        rmap::pte_set_bits(cpu, slot->ptep, wrong & theirs);
        const std::uint64_t frame = Pte{theirs}.frame().value;
        bindings_.bind(Identity::kFrame, frame, ours.frame().value);
        if (name == "main" && program_.busy.count(frame))
            rmap::get_page(cpu, state.pages.pfn_to_page(ours.frame()));
    }
}

}  // namespace mmusim::platform
