// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/program_memory.hpp"

#include <algorithm>
#include <string>

#include "rmap/types/pte.hpp"

namespace mmusim::platform {

using rmap::Pte;
using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

VirtRange page_at(VirtAddr address) { return {address, address + rmap::kPageSize}; }

// ---- what is the same in all captures: the program is linked statically, at fixed addresses ----

enum class Content {
    kText,  ///< of the executable, never written
    kData,  ///< of the executable
    kOther,
};

struct ProgramVma {
    VirtRange range;
    Content content;
};
constexpr ProgramVma kVmas[] = {
    {{{0x400000}, {0x401000}}, Content::kText},
    {{{0x401000}, {0x490000}}, Content::kText},
    {{{0x490000}, {0x4bb000}}, Content::kText},
    {{{0x4bb000}, {0x4bf000}}, Content::kData},  // read-only once it is relocated
    {{{0x4bf000}, {0x4c2000}}, Content::kData},
    {{{0x4c2000}, {0x503000}}, Content::kOther},              // .bss and the heap behind it
    {{{0x7ffff7ffa000}, {0x7ffff7ffb000}}, Content::kOther},  // where children are told things
    {{{0x7ffff7ffe000}, {0x7ffff7fff000}}, Content::kOther},  // vdso
    {{{0x7ffffffde000}, {0x7ffffffff000}}, Content::kOther},  // stack
};
/// What main has written before it forks anybody: buffers, the heap, the top of its stack.
constexpr VirtRange kWritten[] = {{{0x4bf000}, {0x4c3000}},
                                  {{0x4d7000}, {0x4db000}},
                                  {{0x4df000}, {0x4e4000}},
                                  {{0x7ffff7ffa000}, {0x7ffff7ffb000}},
                                  {{0x7fffffffc000}, {0x7fffffffe000 + rmap::kPageSize}}};

/// What it alone has read: the headers of the executable, and those of the vdso.
constexpr VirtAddr kReadByMain[] = {{0x400000}, {0x7ffff7ffe000}};

/// Threads have stacks of 8 MiB below each other, with a guard page under each; they write to the
/// two pages on top.
constexpr VirtAddr kThreadStacks{0x7ffff7ffa000};
constexpr std::uint64_t kThreadStack = 8 << 20;
constexpr std::uint64_t kThreadStackWritten = 2 * rmap::kPageSize;

constexpr std::uint64_t kFaultAroundBytes = 1 << 16;  // fault_around_bytes

const ProgramVma* program_vma(VirtAddr address) {
    const auto found = std::find_if(std::begin(kVmas), std::end(kVmas),
                                    [&](const auto& vma) { return vma.range.contains(address); });
    return found == std::end(kVmas) ? nullptr : found;
}

/// An area of the program, and what events have shown of it, is known as a whole.
void add_area(VirtRange range, ProgramMemory& memory) {
    auto& areas = memory.areas;
    areas.erase(
        std::remove_if(areas.begin(), areas.end(),
                       [&](const ProgramArea& shown) { return range.contains(shown.range.start); }),
        areas.end());
    areas.push_back({range, 0});
    for (auto& [mm, tables] : memory.tables)
        tables.erase(tables.lower_bound(range.start), tables.lower_bound(range.end));
}

using SurePages = std::map<VirtAddr, rmap::Access>;

/// do_fault_around() maps the neighbours of a page, which are all in the page cache.
void add_neighbours(VirtAddr address, VirtRange vma, SurePages& sure) {
    const VirtAddr window{address.value - address.value % kFaultAroundBytes};
    for (VirtAddr at = window; at < window + kFaultAroundBytes; at = at + rmap::kPageSize)
        if (vma.contains(at)) sure.emplace(at, rmap::Access::kRead);
}

void add_thread_stacks(std::size_t threads, ProgramMemory& memory, ProgramMemory::Mm main) {
    VirtAddr top = kThreadStacks;
    for (std::size_t n = 0; n < threads; ++n) {
        const VirtAddr bottom{top.value - kThreadStack};
        const VirtAddr guard{bottom.value - rmap::kPageSize};
        add_area({bottom, top}, memory);
        add_area({guard, bottom}, memory);
        for (VirtAddr at{top.value - kThreadStackWritten}; at < top; at = at + rmap::kPageSize)
            memory.sure[main][at] = rmap::Access::kWrite;
        top = guard;
    }
}

/// What clear_refs finds besides what events show.
void add_what_is_sure(const Capture& capture, ProgramMemory& memory) {
    for (const auto& vma : kVmas) add_area(vma.range, memory);
    for (const auto& [mm, name] : capture.mms) {
        auto& sure = memory.sure[mm];
        for (const auto& range : kWritten)
            for (VirtAddr at = range.start; at < range.end; at = at + rmap::kPageSize)
                sure[at] = rmap::Access::kWrite;
        for (auto& [address, pte] : memory.ptes[mm]) {
            const auto* vma = program_vma(address);
            const bool of_file = vma && vma->content != Content::kOther;
            if (of_file && vma->content == Content::kText) pte &= ~(Pte::kDirty | Pte::kWritable);
            if (of_file) add_neighbours(address, vma->range, sure);
        }
        if (name == "main") {
            for (const VirtAddr address : kReadByMain) sure.emplace(address, rmap::Access::kRead);
            add_thread_stacks(capture.threads.size(), memory, mm);
        }
        // Whether or not a page is present, there is a page table.
        for (const auto& vma : kVmas) memory.tables[mm].insert(vma.range.start);
    }
}

/// A child that is forked has what its parent had: pages that either of them copies, and at least
/// one that was written in each page table.
void add_what_is_inherited(const Capture& capture, ProgramMemory& memory) {
    for (const auto& [mm, name] : capture.mms) {
        if (name != "main") continue;
        auto& sure = memory.sure[mm];
        for (const auto& process : memory.ptes)
            for (const auto& [address, pte] : process.second)
                sure.emplace(address, first_access(pte));
        for (const auto& process : memory.tables)
            for (const VirtAddr address : process.second)
                sure.emplace(address, rmap::Access::kWrite);
        for (const VirtAddr address : memory.unshared) sure.emplace(address, rmap::Access::kWrite);
    }
}

/// Goes through the events once.
class Search {
public:
    explicit Search(const Capture& capture) : target_(capture.target) {
        for (const auto& event : capture.events) look_at(event);
        join_pieces();
        for (const auto& [frame, attempts] : attempts_)
            if (attempts.failed && !attempts.moved) memory_.busy.insert(frame);
    }

    ProgramMemory take() { return std::move(memory_); }

private:
    struct Attempts {
        bool failed = false;
        bool moved = false;
    };

    void look_at(const CaptureEvent& event) {
        if (event.name == "tlb_gather_mmu") {
            mm_ = event.number("mm");
        } else if (event.name == "clear_refs_pte_range") {
            note_piece({{event.number("addr")}, {event.number("end")}});
        } else if (event.name == "unmap_page_range") {
            note_unmapped({{event.number("addr")}, {event.number("end")}});
        } else if (event.name == "flush_tlb_batched_pending") {
            note_table(event.number("mm"));
        } else if (event.name == "ptep_set_access_flags") {
            note_reuse(event);
        } else if (event.name == "ptep_test_and_clear_young" || event.name == "ptep_clear_flush") {
            note_page(event);
        } else if (event.name == "try_to_unmap_one") {
            if (const auto flags = event.number("vm_flags")) flags_[event.number("vma")] = flags;
        } else if (event.name == "move_to_new_page") {
            moving_ = event.number("src_pfn");
        } else if (event.name == "move_to_new_page_ret") {
            Attempts& attempts = attempts_[moving_];
            (event.number("ret") == 0 ? attempts.moved : attempts.failed) = true;
        }
    }

    /// What one page table has of a VMA.
    void note_piece(VirtRange piece) {
        if (target_.contains(piece.start)) return;
        memory_.tables[mm_].insert(piece.start);
        pieces_.emplace(piece.start, piece);
    }

    /// A VMA that goes when its process exits.
    void note_unmapped(VirtRange vma) {
        unmapped_ = {};
        if (target_.contains(vma.start)) return;
        unmapped_ = vma;
        pieces_.emplace(vma.start, vma);
    }

    /// The next of the page tables that it has: stacks, which are all that is so large, are used
    /// from above.
    void note_table(ProgramMemory::Mm mm) {
        if (unmapped_.start >= unmapped_.end) return;
        const VirtAddr last{unmapped_.end.value - 1};
        const VirtAddr table{last.value - last.value % rmap::kLargeSize};
        unmapped_.end = std::max(unmapped_.start, table);
        memory_.tables[mm].insert(unmapped_.end);
    }

    /// wp_page_reuse()
    void note_reuse(const CaptureEvent& event) {
        const VirtAddr address{event.number("addr")};
        if (!target_.contains(address) && Pte{event.number("pte")}.writable())
            memory_.unshared.insert(address);
    }

    void note_page(const CaptureEvent& event) {
        const VirtAddr address{event.number("addr")};
        if (target_.contains(address)) return;
        memory_.ptes[event.number("mm")].emplace(address, event.number("pte"));
        vma_of_page_.emplace(address, event.number("vma"));
    }

    /// Pieces of one VMA, by its pages; pages that are in none are the extent of theirs.
    void join_pieces() {
        std::map<std::uint64_t, ProgramArea> by_vma;
        std::set<VirtAddr> joined;
        for (const auto& [address, vma] : vma_of_page_) {
            const VirtRange found = piece_of(address);
            joined.insert(found.start);
            auto& area = by_vma.emplace(vma, ProgramArea{found, 0}).first->second;
            area.range = {std::min(area.range.start, found.start),
                          std::max(area.range.end, found.end)};
            area.vm_flags = flags_[vma];
        }
        for (const auto& entry : by_vma) memory_.areas.push_back(entry.second);
        for (const auto& [start, piece] : pieces_)
            if (!joined.count(start)) memory_.areas.push_back({piece, 0});
    }

    VirtRange piece_of(VirtAddr address) const {
        auto above = pieces_.upper_bound(address);
        if (above == pieces_.begin()) return page_at(address);
        const VirtRange piece = std::prev(above)->second;
        return piece.contains(address) ? piece : page_at(address);
    }

    const VirtRange target_;
    ProgramMemory memory_;
    ProgramMemory::Mm mm_ = 0;
    VirtRange unmapped_{};  ///< what is left to see of it
    std::map<VirtAddr, VirtRange> pieces_;
    std::map<VirtAddr, std::uint64_t> vma_of_page_;  // of the process that is seen first
    std::map<std::uint64_t, std::uint64_t> flags_;   // by VMA
    std::map<std::uint64_t, Attempts> attempts_;     // by frame
    std::uint64_t moving_ = 0;
};

}  // namespace

rmap::Access first_access(std::uint64_t pte) {
    return pte & (Pte::kDirty | Pte::kWritable) ? rmap::Access::kWrite : rmap::Access::kRead;
}

ProgramMemory find_program_memory(const Capture& capture) {
    const auto op = capture.args.find("op");
    const bool clears_refs =
        op != capture.args.end() && (op->second == "clearrefs" || op->second == "softdirty");
    const bool walks_all =
        op != capture.args.end() &&
        (op->second == "migrate" || op->second == "childexit" || op->second == "fork");
    if (!clears_refs && !walks_all) return {};
    auto memory = Search(capture).take();
    if (clears_refs) add_what_is_sure(capture, memory);
    if (op->second == "fork") add_what_is_inherited(capture, memory);
    std::sort(memory.areas.begin(), memory.areas.end(),
              [](const auto& a, const auto& b) { return a.range.start < b.range.start; });
    // One for each process that has shown it.
    const auto same = [](const auto& a, const auto& b) { return a.range == b.range; };
    memory.areas.erase(std::unique(memory.areas.begin(), memory.areas.end(), same),
                       memory.areas.end());
    return memory;
}

}  // namespace mmusim::platform
