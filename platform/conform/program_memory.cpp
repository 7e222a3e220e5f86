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

/// Goes through the events once.
class Search {
public:
    explicit Search(const Capture& capture) : target_(capture.target) {
        for (const auto& event : capture.events) look_at(event);
        join_pieces();
        std::sort(memory_.areas.begin(), memory_.areas.end(),
                  [](const auto& a, const auto& b) { return a.range.start < b.range.start; });
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
    std::map<VirtAddr, VirtRange> pieces_;
    std::map<VirtAddr, std::uint64_t> vma_of_page_;  // of the process that is seen first
    std::map<std::uint64_t, std::uint64_t> flags_;   // by VMA
    std::map<std::uint64_t, Attempts> attempts_;     // by frame
    std::uint64_t moving_ = 0;
};

}  // namespace

ProgramMemory find_program_memory(const Capture& capture) {
    const auto op = capture.args.find("op");
    const bool walks_all =
        op != capture.args.end() &&
        (op->second == "clearrefs" || op->second == "softdirty" || op->second == "migrate");
    return walks_all ? Search(capture).take() : ProgramMemory{};
}

}  // namespace mmusim::platform
