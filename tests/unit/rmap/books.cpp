// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/rmap/books.hpp"

#include <algorithm>
#include <tuple>

#include "rmap/mm/page_release.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/rmap_walk.hpp"

namespace mmusim::test {

using namespace mmusim::rmap;

namespace {

constexpr std::uint64_t kEntries = 512;

/// How often a tree says that `vma` overlaps one page.
std::uint64_t times_at(const IntervalTree<Vma>& tree, const Vma& vma, std::uint64_t pgoff) {
    std::uint64_t times = 0;
    tree.for_each_overlap(pgoff, pgoff, [&](const Vma& other) {
        times += &other == &vma;
        return Visit::kContinue;
    });
    return times;
}

}  // namespace

Word Books::word(PhysAddr address) const {
    const auto& words = bench_.machine.memory().words;
    const auto found = words.find(address);
    return found == words.end() ? Word{} : found->second;
}

void Books::compare(const char* what, std::uint64_t of, std::uint64_t booked,
                    std::uint64_t counted) {
    if (booked == counted) return;
    text_ += std::string(what) + " " + std::to_string(of) + ": " + std::to_string(booked) +
             ", counted " + std::to_string(counted) + "\n";
}

std::string Books::disagreements() {
    text_.clear();
    collect();
    for (const Mm* mm : holders_.mms) check_mm(*mm);
    for (const auto& [frame, users] : users_) check_page(frame, users);
    check_tables();
    check_frames();
    check_swap();
    for (const AddressSpace* file : holders_.files) check_i_mmap(*file);
    check_anon_vmas();
    check_tasks();
    for (const auto& [frame, users] : users_) check_walk(frame, users);
    return text_;
}

void Books::collect() {
    users_.clear();
    tables_.clear();
    slots_.clear();
    counted_.clear();
    for (Mm* mm : holders_.mms) {
        counted_[mm->context.id];
        collect_table(*mm, mm->context.pgd, kPageTableLevels, {});
    }
    for (const AddressSpace* file : holders_.files) collect_file(*file);
    const AddressSpace& cache = bench_.kernel.state().swap.cache;
    for (std::uint64_t offset = 0; offset < cache.pages; ++offset) {
        const std::uint64_t frame = word(cache.slot(offset)).value;
        if (!frame) continue;
        ++users_[{frame}].caches;
        slots_[offset].cached = true;
    }
    for (const auto& [frame, count] : holders_.pins)
        if (count) users_[frame].pins = count;
    collect_lists();
    collect_pagevecs();
}

void Books::collect_table(Mm& mm, FrameNumber table, unsigned level, VirtAddr base) {
    demand(tables_.emplace(table, &mm).second, "one parent of table", table.value);
    for (std::uint64_t i = 0; i < kEntries; ++i) {
        const Word content = word(address_of(table) + 8 * i);
        const Pte pte = pte_of(content);
        if (pte.none()) continue;
        const VirtAddr address = base + (i << (kPageShift + 9 * (level - 1)));
        if (level > 1)
            collect_table(mm, pte.frame(), level - 1, address);
        else
            collect_entry({&mm, address, pte, content.generation, mm.find_vma(address)});
    }
}

void Books::collect_entry(const Entry& entry) {
    demand(entry.vma, "VMA of entry at", entry.address.value);
    MmStatus& counted = counted_[entry.mm->context.id];
    demand(!entry.pte.migration(), "no migration entry at", entry.address.value);
    if (entry.pte.swap_type()) {
        ++counted.vm_swap;
        ++slots_[entry.pte.offset()].references;
    } else if (vm_normal_page(bench_.kernel.state(), entry.pte)) {
        users_[entry.pte.frame()].entries.push_back(entry);
    }
}

void Books::collect_file(const AddressSpace& file) {
    for (std::uint64_t index = 0; index < file.pages; ++index) {
        const auto found = find_get_entry(cpu_, bench_.kernel.state(), file, index, Part::kUser);
        if (found.swap) ++slots_[found.swap->offset].references;
        if (!found.page) continue;
        ++users_[found.page->pfn()].caches;
        compare("index in its file of frame", found.page->pfn().value, found.page->index, index);
        compare("file of frame", found.page->pfn().value, found.page->mapping(cpu_).raw,
                file.mapping().raw);
        put_page(cpu_, bench_.kernel.state(), *found.page);
    }
}

void Books::collect_lists() {
    Lru& lru = bench_.kernel.state().lru;
    for (NodeId nid = 0; nid < lru.nodes(); ++nid)
        for (unsigned memcg = 0; memcg < lru.groups(); ++memcg)
            for (unsigned which = 0; which < kLruLists; ++which) {
                PageList& list = lru.lruvec(nid, memcg).list(static_cast<LruList>(which));
                std::uint64_t length = 0;
                for (Page* page = list.empty() ? nullptr : &list.head(); page;
                     page = PageList::next(*page)) {
                    ++length;
                    ++users_[page->pfn()].lists;
                    const std::uint64_t frame = page->pfn().value;
                    compare("node of the list of frame", frame, page->nid(), nid);
                    compare("group of the list of frame", frame, page->memcg, memcg);
                    demand(&lru.list_of(*page, page->flags(cpu_)) == &list, "list of frame", frame);
                }
                compare("length of list", which, list.size(), length);
            }
}

void Books::collect_pagevecs() {
    for (const LruPagevecs& pvecs : bench_.kernel.state().lru_pvecs) {
        for (const Pagevec* pvec :
             {&pvecs.lru_add, &pvecs.lru_rotate, &pvecs.lru_lazyfree, &pvecs.activate_page}) {
            demand(!pvec->full(), "room in a pagevec", pvec->pages.size());
            for (const Page* page : pvec->pages) ++users_[page->pfn()].pagevecs;
        }
        for (const Page* page : pvecs.lru_add.pages) {
            bool& on_its_way = users_[page->pfn()].on_its_way;
            demand(!on_its_way, "one lru_add pagevec of frame", page->pfn().value);
            on_its_way = true;
        }
    }
}

void Books::check_mm(const Mm& mm) {
    check_vmas(mm);
    check_counters(mm);
    compare("mmap_sem of mm", mm.context.id, word(mm.mmap_sem.word()).value, 0);
    compare("page_table_lock of mm", mm.context.id, word(mm.page_table_lock.word()).value, 0);
    compare("tlb_flush_pending of mm", mm.context.id, word(mm.tlb_flush_pending).value, 0);
}

void Books::check_vmas(const Mm& mm) {
    std::uint64_t total = 0, locked = 0, stack = 0, data = 0, exec = 0;
    VirtAddr end{};
    for (const auto& [start, vma] : mm.mmap) {
        const std::uint64_t pages = vma->range().pages();
        compare("key of VMA", start.value, start.value, vma->vm_start.value);
        demand(end <= start && start < vma->vm_end, "place behind the last VMA of", start.value);
        demand(vma->vm_mm == &mm, "mm of VMA", start.value);
        compare("flags that walks see of VMA", start.value, word(vma->vm_flags_word()).value,
                vma->vm_flags);
        end = vma->vm_end;
        const bool writable = vma->has(VmFlags::kWrite);
        total += pages;
        if (vma->has(VmFlags::kLocked)) locked += pages;
        if (vma->has(VmFlags::kExec) && !writable && !vma->has(VmFlags::kGrowsDown)) exec += pages;
        if (vma->has(VmFlags::kGrowsDown)) stack += pages;
        if (writable && !vma->has(VmFlags::kShared) && !vma->has(VmFlags::kGrowsDown))
            data += pages;
    }
    const MmId id = mm.context.id;
    compare("total_vm of mm", id, mm.total_vm, total);
    compare("locked_vm of mm", id, mm.locked_vm, locked);
    compare("data_vm of mm", id, mm.data_vm, data);
    compare("stack_vm of mm", id, mm.stack_vm, stack);
    compare("exec_vm of mm", id, mm.exec_vm, exec);
}

void Books::check_counters(const Mm& mm) {
    MmStatus counted = counted_[mm.context.id];
    for (const auto& [frame, users] : users_)
        for (const Entry& entry : users.entries) {
            if (entry.mm != &mm) continue;
            Page& page = bench_.kernel.state().pages.pfn_to_page(frame);
            const bool anon = page.mapping(cpu_).anon();
            const bool shmem = !anon && page.test(cpu_, PageFlag::kSwapBacked);
            ++(anon ? counted.rss_anon : shmem ? counted.rss_shmem : counted.rss_file);
        }
    // A task has its last faults in its own account.
    const auto compare_counter = [&](const char* what, MmCounter which, std::uint64_t seen) {
        for (const Task* task : holders_.tasks)
            if (task->mm == &mm)
                seen -= static_cast<std::uint64_t>(
                    task->rss_stat.count[static_cast<std::size_t>(which)]);
        compare(what, mm.context.id, word(mm.rss_word(which)).value, seen);
    };
    compare_counter("MM_FILEPAGES of mm", MmCounter::kFilePages, counted.rss_file);
    compare_counter("MM_ANONPAGES of mm", MmCounter::kAnonPages, counted.rss_anon);
    compare_counter("MM_SWAPENTS of mm", MmCounter::kSwapEnts, counted.vm_swap);
    compare_counter("MM_SHMEMPAGES of mm", MmCounter::kShmemPages, counted.rss_shmem);
    std::uint64_t tables = 0;
    for (const auto& [frame, owner] : tables_) tables += owner == &mm && frame != mm.context.pgd;
    compare("pgtables_bytes of mm", mm.context.id, word(mm.pgtables_bytes).value,
            tables * kPageSize);
}

void Books::check_page(FrameNumber frame, const Users& users) {
    Page& page = bench_.kernel.state().pages.pfn_to_page(frame);
    const std::uint64_t flags = page.flags(cpu_);
    compare("map count of frame", frame.value, page.mapcount(cpu_), users.entries.size());
    compare("references of frame", frame.value, page.refcount(cpu_),
            users.entries.size() + users.caches + users.pins + users.pagevecs);
    compare("LRU lists of frame", frame.value, users.lists, !users.on_its_way);
    compare("PG_lru of frame", frame.value, has(flags, PageFlag::kLru), !users.on_its_way);
    compare("lock of frame", frame.value, word(page.lock.word()).value, 0);
    compare("open unmap of frame", frame.value, page.unmap_operation, 0);
    if (!users.on_its_way)
        compare("PG_unevictable of frame", frame.value, has(flags, PageFlag::kUnevictable),
                has(flags, PageFlag::kMlocked));
    const bool locked = std::any_of(
        users.entries.begin(), users.entries.end(),
        [](const Entry& entry) { return entry.vma && entry.vma->has(VmFlags::kLocked); });
    demand(locked || !has(flags, PageFlag::kMlocked), "VM_LOCKED VMA of mlocked frame",
           frame.value);
    check_identity(page, users);
    for (const Entry& entry : users.entries)
        if (entry.vma) check_entry(page, entry);
}

/// What the page says it is, is what its caches say.
void Books::check_identity(Page& page, const Users& users) {
    const std::uint64_t frame = page.pfn().value;
    const bool in_swap_cache = page.test(cpu_, PageFlag::kSwapCache);
    const PageMapping mapping = page.mapping(cpu_);
    const bool in_file = !mapping.null() && !mapping.anon();
    compare("caches of frame", frame, (in_swap_cache ? 1u : 0u) + (in_file ? 1u : 0u),
            users.caches);
    if (in_swap_cache)
        compare("place in the swap cache of frame", frame,
                word(bench_.kernel.state().swap.cache.slot(page.swap.offset)).value, frame);
    if (!mapping.anon()) return;
    const bool writable = std::any_of(users.entries.begin(), users.entries.end(),
                                      [](const Entry& entry) { return entry.pte.writable(); });
    if (!writable) return;
    const std::uint64_t in_swap = in_swap_cache ? slots_[page.swap.offset].references : 0;
    compare("owners of anonymous frame with a writable entry", frame,
            users.entries.size() + in_swap, 1);
}

void Books::check_entry(Page& page, const Entry& entry) {
    const Vma& vma = *entry.vma;
    const std::uint64_t frame = page.pfn().value;
    compare("generation in an entry of frame", frame, entry.generation, page.generation);
    demand(!entry.pte.writable() || vma.has(VmFlags::kWrite), "VM_WRITE for a writable entry of",
           frame);
    compare("PROT_NONE of an entry of frame", frame, entry.pte.prot_none(),
            !(vma.vm_flags & VmFlags::kAccessFlags));
    compare("index of frame", frame, page.index, vma.page_index(entry.address));
    if (page.mapping(cpu_).anon()) return check_anon_tree(page, entry);
    demand(vma.vm_file && vma.vm_file->mapping().raw == page.mapping(cpu_).raw,
           "VMA of the file of frame", frame);
    demand(vma.has(VmFlags::kShared) || !entry.pte.writable(),
           "private mapping only reads a file's frame", frame);
    // Who dirties a page of a file on a disk has to be known.
    if (entry.pte.writable() && vma.vm_file && vma.vm_file->account_dirty())
        demand(page.test(cpu_, PageFlag::kDirty), "PG_dirty of writable file frame", frame);
}

/// The page's anon_vma leads to the VMA; check_anon_vmas() sees to the rest.
void Books::check_anon_tree(Page& page, const Entry& entry) {
    const AnonVma& anon_vma = page_anon_vma(bench_.kernel.state(), page.mapping(cpu_));
    const auto& chain = entry.vma->anon_vma_chain;
    demand(std::count(chain.begin(), chain.end(), &anon_vma) == 1,
           "VMA in the tree of anonymous frame", page.pfn().value);
}

void Books::check_tables() {
    for (const auto& [frame, mm] : tables_) {
        Page& table = bench_.kernel.state().pages.pfn_to_page(frame);
        compare("references of table", frame.value, table.refcount(cpu_), 1);
        compare("lock of table", frame.value, word(table.lock.word()).value, 0);
        demand(!users_.count(frame), "no other use of table", frame.value);
    }
}

/// Frames that nobody uses are free, and the allocator has as many.
void Books::check_frames() {
    std::uint64_t free = 0, all = 0;
    for (const MemoryNode& node : bench_.memory.layout().nodes) {
        free += bench_.kernel.state().pages.nr_free_pages(bench_.memory.page_to_nid(node.first));
        all += node.frames;
    }
    compare("frames in use, of", all, all - free, used_frames());
    for (const auto& used : users_) seen_.insert(used.first);
    for (const auto& used : tables_) seen_.insert(used.first);
    for (const FrameNumber frame : seen_) {
        if (users_.count(frame) || tables_.count(frame)) continue;
        Page& page = bench_.kernel.state().pages.pfn_to_page(frame);
        compare("references of free frame", frame.value, page.refcount(cpu_), 0);
        compare("map count of free frame", frame.value, page.mapcount(cpu_), 0);
    }
}

void Books::check_swap() {
    SwapSpace& swap = bench_.kernel.state().swap;
    std::uint64_t used = 0;
    for (std::uint64_t offset = 0; offset < swap.total(); ++offset) {
        const auto slot = slots_.find(offset);
        const std::uint64_t references = slot == slots_.end() ? 0 : slot->second.references;
        compare("count of swap slot", offset, swap.swap_count(cpu_, {0, offset}), references);
        used += slot != slots_.end() && (references || slot->second.cached);
    }
    compare("slots in use, of", swap.total(), swap.used(), used);
    compare("free slots, of", swap.total(), swap.nr_free(cpu_), swap.total() - used);
}

/// A tree has the VMA once, for exactly the pages that the VMA maps.
void Books::check_in_tree(const IntervalTree<Vma>& tree, const Vma& vma) {
    const std::uint64_t first = vma.first_pgoff(), last = vma.last_pgoff();
    compare("first page in a tree of VMA", vma.vm_start.value, times_at(tree, vma, first), 1);
    compare("last page in a tree of VMA", vma.vm_start.value, times_at(tree, vma, last), 1);
    compare("page behind it in a tree of VMA", vma.vm_start.value, times_at(tree, vma, last + 1),
            0);
    if (first > 0)
        compare("page before it in a tree of VMA", vma.vm_start.value,
                times_at(tree, vma, first - 1), 0);
}

void Books::check_i_mmap(const AddressSpace& file) {
    std::uint64_t vmas = 0;
    for (const Mm* mm : holders_.mms)
        for (const auto& entry : mm->mmap)
            if (entry.second->vm_file == &file) {
                ++vmas;
                check_in_tree(file.i_mmap, *entry.second);
            }
    compare("VMAs in i_mmap of file", file.mapping().raw, file.i_mmap.size(), vmas);
    compare("i_mmap_rwsem of file", file.mapping().raw, word(file.i_mmap_rwsem.word()).value, 0);
    compare("xa_lock of file", file.mapping().raw, word(file.xa_lock.word()).value, 0);
}

void Books::check_anon_vmas() {
    std::map<PhysAddr, Tree> trees;
    const AnonVmaTable& all = bench_.kernel.state().anon_vmas;
    for (const Mm* mm : holders_.mms)
        for (const auto& [start, vma] : mm->mmap) {
            const PhysAddr own{word(vma->anon_vma).value};
            const auto& chain = vma->anon_vma_chain;
            compare("AVCs of VMA", start.value, !chain.empty(), own.value != 0);
            if (own.value) {
                ++trees[own].owners;
                demand(std::count(chain.begin(), chain.end(), &all.at(own)) == 1,
                       "AVC for the VMA's own anon_vma of VMA", start.value);
            }
            for (const AnonVma* anon_vma : chain) {
                trees[anon_vma->line].vmas.push_back(vma.get());
                trees[anon_vma->root->line];
                demand(anon_vma->root == chain.front()->root, "root of VMA", start.value);
                check_in_tree(anon_vma->rb_root, *vma);
            }
        }
    // A root is a child of its own. Who has no VMA any more is nobody's child.
    for (const auto& [line, tree] : trees)
        if (!tree.vmas.empty()) ++trees[all.at(line).parent->line].children;
    for (const auto& [line, tree] : trees) {
        const AnonVma& anon_vma = all.at(line);
        compare("VMAs in the tree of anon_vma", line.value, anon_vma.rb_root.size(),
                tree.vmas.size());
        compare("degree of anon_vma", line.value, anon_vma.degree, tree.owners + tree.children);
        compare("rwsem of anon_vma", line.value, word(anon_vma.rwsem.word()).value, 0);
        // Of a root: what its own VMAs are worth, and each descendant that is left.
        std::uint64_t references = tree.vmas.empty() ? 0 : 1;
        for (const auto& [other, descendant] : trees)
            references +=
                other != line && !descendant.vmas.empty() && all.at(other).root == &anon_vma;
        compare("references of anon_vma", line.value, word(anon_vma.refcount).value, references);
    }
}

void Books::check_tasks() {
    for (const Task* task : holders_.tasks) {
        demand(!task->tlb_ubc.flush_required && task->tlb_ubc.cpumask.empty(),
               "empty flush batch of a task of mm", task->mm ? task->mm->context.id : 0);
    }
}

/// rmap_walk() finds exactly the entries that map the page.
void Books::check_walk(FrameNumber frame, const Users& users) {
    if (users.entries.empty()) return;
    KernelState& kernel = bench_.kernel.state();
    Page& page = kernel.pages.pfn_to_page(frame);
    using Place = std::tuple<MmId, VirtAddr>;
    std::vector<Place> found, expected;
    for (const Entry& entry : users.entries)
        expected.emplace_back(entry.mm->context.id, entry.address);
    const auto find = [&](Vma& vma, VirtAddr address) {
        PageVmaMappedWalk pvmw{page, vma, address};
        while (page_vma_mapped_walk(cpu_, kernel, pvmw))
            found.emplace_back(vma.vm_mm->context.id, pvmw.address);
        return true;
    };
    const RmapWalkControl control{find, {}, {}, {}};
    lock_page(cpu_, page);
    rmap_walk(cpu_, kernel, page, control);
    unlock_page(cpu_, page);
    std::sort(found.begin(), found.end());
    std::sort(expected.begin(), expected.end());
    demand(found == expected, "exactly its entries by the walk of frame", frame.value);
}

}  // namespace mmusim::test
