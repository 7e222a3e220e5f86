// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/rmap/kernel_bench.hpp"

namespace mmusim::test {

/// Everything that may refer to pages, swap slots or VMAs of a bench.
struct Holders {
    std::vector<rmap::Mm*> mms;            ///< all that were ever made
    std::vector<const rmap::Task*> tasks;  ///< likewise
    std::vector<rmap::AddressSpace*> files;
    std::map<rmap::FrameNumber, std::uint64_t> pins;  ///< references of secondary MMUs
};

/// Recomputes from nothing but the page tables, the VMAs and the slots of page caches what the
/// engine keeps count of, while no operation runs, and compares. It looks from a CPU of its own.
class Books {
public:
    Books(KernelBench& bench, const Holders& holders, rmap::CpuId observer)
        : bench_(bench), holders_(holders), cpu_(bench.cpu(observer)) {}

    /// What does not agree, a line each; empty where all books agree.
    std::string disagreements();

    /// Frames of user pages and page tables, as of the last disagreements().
    std::uint64_t used_frames() const { return users_.size() + tables_.size(); }

private:
    struct Entry {
        rmap::Mm* mm = nullptr;
        rmap::VirtAddr address{};
        rmap::Pte pte{};
        rmap::Generation generation = 0;
        const rmap::Vma* vma = nullptr;
    };
    /// Who refers to one page.
    struct Users {
        std::vector<Entry> entries;
        std::uint64_t caches = 0;
        std::uint64_t pins = 0;
        std::uint64_t lists = 0;
        std::uint64_t pagevecs = 0;  ///< of CPUs
        bool on_its_way = false;     ///< to its LRU list, in a pagevec
    };
    struct Slot {
        std::uint64_t references = 0;  ///< page-table entries, and slots of shmem
        bool cached = false;
    };
    /// What VMAs say of an anon_vma.
    struct Tree {
        std::vector<const rmap::Vma*> vmas;
        std::uint64_t owners = 0;  ///< VMAs whose vma->anon_vma it is
        std::uint64_t children = 0;
    };

    rmap::Word word(rmap::PhysAddr address) const;
    void compare(const char* what, std::uint64_t of, std::uint64_t booked, std::uint64_t counted);
    void demand(bool holds, const char* what, std::uint64_t of) { compare(what, of, holds, true); }

    void collect();
    void collect_table(rmap::Mm& mm, rmap::FrameNumber table, unsigned level, rmap::VirtAddr base);
    void collect_entry(const Entry& entry);
    void collect_file(const rmap::AddressSpace& file);
    void collect_lists();
    void collect_pagevecs();

    void check_mm(const rmap::Mm& mm);
    void check_vmas(const rmap::Mm& mm);
    void check_counters(const rmap::Mm& mm);
    void check_page(rmap::FrameNumber frame, const Users& users);
    void check_identity(rmap::Page& page, const Users& users);
    void check_entry(rmap::Page& page, const Entry& entry);
    void check_anon_tree(rmap::Page& page, const Entry& entry);
    void check_tables();
    void check_frames();
    void check_swap();
    void check_i_mmap(const rmap::AddressSpace& file);
    void check_anon_vmas();
    void check_tasks();
    void check_in_tree(const rmap::IntervalTree<rmap::Vma>& tree, const rmap::Vma& vma);
    void check_walk(rmap::FrameNumber frame, const Users& users);

    KernelBench& bench_;
    const Holders& holders_;
    rmap::Cpu& cpu_;
    std::string text_;

    std::map<rmap::FrameNumber, Users> users_;
    std::map<rmap::FrameNumber, rmap::Mm*> tables_;
    std::map<std::uint64_t, Slot> slots_;
    std::map<rmap::MmId, rmap::MmStatus> counted_;
    std::set<rmap::FrameNumber> seen_;  ///< frames that were ever in use
};

}  // namespace mmusim::test
