// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "rmap/mm/kernel_memory.hpp"
#include "rmap/ports/cpu.hpp"
#include "rmap/sync/lock.hpp"

namespace mmusim::rmap {

class PageList;

/// Bits of page->flags. PG_locked is not among them: the word of Page::lock is.
enum class PageFlag : std::uint64_t {
    kReferenced = 1 << 0,
    kUptodate = 1 << 1,
    kDirty = 1 << 2,
    kLru = 1 << 3,
    kActive = 1 << 4,
    kSwapBacked = 1 << 5,
    kSwapCache = 1 << 6,
    kWriteback = 1 << 7,
    kReclaim = 1 << 8,
    kMlocked = 1 << 9,
    kUnevictable = 1 << 10,
    kYoung = 1 << 11,    ///< idle-page tracking took an accessed bit that reclaim has not seen
    kIdle = 1 << 12,     ///< not accessed since idle-page tracking marked it
    kPrivate = 1 << 13,  ///< buffers that the file system does not let go (a journal's)
};
/// Sets of flags, as in page->flags.
constexpr std::uint64_t mask(PageFlag flag) { return static_cast<std::uint64_t>(flag); }
constexpr std::uint64_t operator|(PageFlag a, PageFlag b) { return mask(a) | mask(b); }
constexpr std::uint64_t operator|(std::uint64_t a, PageFlag b) { return a | mask(b); }
/// Whether a copy of page->flags has it.
constexpr bool has(std::uint64_t flags, PageFlag flag) {
    return flags & static_cast<std::uint64_t>(flag);
}

/// swp_entry_t.
struct SwapEntry {
    static constexpr unsigned kTypeShift = 58;  // SWP_TYPE_SHIFT
    unsigned type = 0;
    std::uint64_t offset = 0;

    std::uint64_t value() const { return std::uint64_t{type} << kTypeShift | offset; }
    static SwapEntry from_value(std::uint64_t value) {
        return {static_cast<unsigned>(value >> kTypeShift), value & ((1ull << kTypeShift) - 1)};
    }
    friend bool operator==(SwapEntry a, SwapEntry b) { return a.value() == b.value(); }
    friend bool operator!=(SwapEntry a, SwapEntry b) { return !(a == b); }
};

/// page->mapping: the address of the object's line, tagged with PAGE_MAPPING_ANON.
struct PageMapping {
    static constexpr std::uint64_t kAnon = 1;
    std::uint64_t raw = 0;

    bool null() const { return raw == 0; }
    bool anon() const { return raw & kAnon; }
    PhysAddr object() const { return {raw & ~kAnon}; }
};

/// struct page. What several CPUs touch without a common lock is a word of its line in mem_map;
/// the plain members say what guards them. Nothing is ever freed: a Page outlives its content.
class Page {
public:
    Page(FrameNumber pfn, NodeId nid, PhysAddr line)
        : lock(line + 32), pfn_(pfn), nid_(nid), line_(line) {}

    FrameNumber pfn() const { return pfn_; }
    NodeId nid() const { return nid_; }

    // ---- words; time passes in each ----
    bool test(Cpu& cpu, PageFlag flag, Part part = Part::kPageState) const;
    void set(Cpu& cpu, PageFlag flag, Part part = Part::kPageState);
    void clear(Cpu& cpu, PageFlag flag, Part part = Part::kPageState);
    bool test_and_set(Cpu& cpu, PageFlag flag, Part part = Part::kPageState);
    bool test_and_clear(Cpu& cpu, PageFlag flag, Part part = Part::kPageState);
    std::uint64_t flags(Cpu& cpu, Part part = Part::kPageState) const;
    void set_flags(Cpu& cpu, std::uint64_t flags, Part part = Part::kPageState);

    PageMapping mapping(Cpu& cpu) const;
    void set_mapping(Cpu& cpu, PageMapping mapping);

    /// _mapcount + 1: the number of page-table entries that map the page.
    std::uint64_t mapcount(Cpu& cpu) const;
    /// Returns the new count.
    std::uint64_t add_mapcount(Cpu& cpu, std::int64_t delta);

    /// _refcount.
    std::uint64_t refcount(Cpu& cpu) const;
    void set_refcount(Cpu& cpu, std::uint64_t count);
    /// Returns the new count.
    std::uint64_t add_refcount(Cpu& cpu, std::int64_t delta);
    /// get_page_unless_zero().
    bool get_unless_zero(Cpu& cpu);
    /// page_ref_freeze(): `expected` becomes 0, anything else stays.
    bool freeze(Cpu& cpu, std::uint64_t expected);

    // ---- plain ----
    /// The page lock of a user page, or the page-table lock of a page-table page.
    Lock lock;
    /// page->index; set before the page can be found, constant until it is freed.
    std::uint64_t index = 0;
    /// page->private while PG_swapcache is set. Page lock.
    SwapEntry swap;
    /// Raised at free and when the content is handed over. Page lock, or whoever has the only
    /// reference.
    Generation generation = 0;
    /// Number of the memory control group charged for it. Whoever allocated it, before it is
    /// visible.
    unsigned memcg = 0;
    /// The open unmap operation of whoever isolated the page; 0 = none.
    OperationId unmap_operation = 0;

private:
    friend class PageList;

    std::uint64_t fetch_flags(Cpu& cpu, std::uint64_t clear, std::uint64_t set, Part part);
    PhysAddr flags_word() const { return line_; }
    PhysAddr mapping_word() const { return line_ + 8; }
    PhysAddr mapcount_word() const { return line_ + 16; }
    PhysAddr refcount_word() const { return line_ + 24; }

    const FrameNumber pfn_;
    const NodeId nid_;
    const PhysAddr line_;

    // page->lru: guarded by whatever guards the list.
    PageList* list_ = nullptr;
    Page* next_ = nullptr;
    Page* previous_ = nullptr;
};

/// A list of pages through page->lru: an LRU list under its lock, or a private list.
class PageList {
public:
    PageList() = default;
    PageList(const PageList&) = delete;
    PageList& operator=(const PageList&) = delete;

    bool empty() const { return size_ == 0; }
    std::uint64_t size() const { return size_; }
    Page& head() const { return *head_; }
    Page& tail() const { return *tail_; }  ///< lru_to_page()
    bool contains(const Page& page) const { return page.list_ == this; }

    void add_head(Page& page);
    void add_tail(Page& page);
    void remove(Page& page);
    /// list_splice_tail_init(): all pages of the other list, which is left empty, to the tail.
    void splice_tail(PageList& other);
    /// Towards the tail; nullptr behind it.
    static Page* next(const Page& page) { return page.next_; }

private:
    Page* head_ = nullptr;
    Page* tail_ = nullptr;
    std::uint64_t size_ = 0;
};

}  // namespace mmusim::rmap
