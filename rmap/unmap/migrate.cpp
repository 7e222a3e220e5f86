// SPDX-License-Identifier: Apache-2.0
#include "rmap/unmap/migrate.hpp"

#include <optional>
#include <utility>

#include "rmap/mm/gup.hpp"
#include "rmap/mm/mlock_page.hpp"
#include "rmap/mm/operation.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_rmap.hpp"
#include "rmap/mm/page_table.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/unmap/try_to_unmap.hpp"
#include "rmap/walk/page_vma_mapped_walk.hpp"
#include "rmap/walk/walk_users.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::uint64_t kMigrateSync = 2;  // MIGRATE_SYNC
constexpr unsigned kPasses = 10;
constexpr unsigned kPassesWithoutForce = 3;

constexpr std::int64_t kENoMem = -12;  // -ENOMEM

/// Outcomes of one attempt, MIGRATEPAGE_SUCCESS, -EAGAIN and -ENOMEM.
enum class Migrated { kSuccess, kAgain, kNoMemory };
/// Whether an attempt waits for whoever uses the page.
enum class Force { kNo, kYes };

}  // namespace

bool remove_migration_pte(Cpu& cpu, KernelState& kernel, Page& new_page, Vma& vma, VirtAddr address,
                          Page& old_page) {
    const MmContext& mm = vma.vm_mm->context;
    cpu.emit(Event::kRemoveMigrationPte, {new_page.pfn().value, mm.id, address.value});
    PageVmaMappedWalk pvmw{old_page, vma, address, PvmwFlags::kSync | PvmwFlags::kMigration};
    while (page_vma_mapped_walk(cpu, kernel, pvmw)) {
        const PhysAddr ptep = pvmw.slot.ptep;
        const bool writable = pte_of(read_pte(cpu, ptep)).migration_writable();
        const std::uint64_t vm_flags = read_vm_flags(cpu, vma);
        get_page(cpu, new_page);
        // Old and clean, whatever the entry was before; a dirty one has marked the page.
        Pte pte = Pte::present_entry(new_page.pfn(), vma.page_prot(vm_flags) & ~Pte::kAccessed);
        if (writable && (vm_flags & VmFlags::kWrite)) pte = pte.with(Pte::kWritable);
        set_present_pte(cpu, *vma.vm_mm, address, ptep, pte, new_page.generation);
        if (page_is_anon(cpu, new_page))
            page_add_anon_rmap(cpu, kernel, new_page, vma, address);
        else
            page_add_file_rmap(cpu, new_page);
        // Unmapping has cleared PG_mlocked.
        if (vm_flags & VmFlags::kLocked) mlock_vma_page(cpu, kernel, new_page);
    }
    return true;
}

namespace {

/// Those of the flags that the old page has.
void move_flags(Cpu& cpu, Page& new_page, const Page& old_page, std::uint64_t flags) {
    new_page.set_flags(cpu, new_page.flags(cpu) | (old_page.flags(cpu) & flags));
}

/// migrate_page_move_mapping(): the new page takes the place of the old one in its cache. The old
/// page has no mapping; false if somebody else has a reference.
bool migrate_page_move_mapping(Cpu& cpu, AddressSpace* mapping, Page& new_page, Page& old_page) {
    cpu.emit(Event::kMigratePageMoveMapping, {new_page.pfn().value, old_page.pfn().value});
    if (!mapping) {
        if (old_page.refcount(cpu) != 1) return false;  // who isolated it
        new_page.index = old_page.index;
        new_page.set_mapping(cpu, old_page.mapping(cpu));
        move_flags(cpu, new_page, old_page, mask(PageFlag::kSwapBacked));
        return true;
    }
    const InterruptsOff irq(cpu.time());
    mapping->xa_lock.lock(cpu);
    const bool frozen = old_page.freeze(cpu, 2);  // who isolated it, and the cache
    if (frozen) {
        const bool swap_cache = old_page.test(cpu, PageFlag::kSwapCache);
        new_page.index = old_page.index;
        new_page.swap = old_page.swap;
        new_page.set_mapping(cpu, old_page.mapping(cpu));
        get_page(cpu, new_page);
        // What those who find it in the cache ask for without the page lock.
        move_flags(cpu, new_page, old_page,
                   PageFlag::kSwapBacked | PageFlag::kSwapCache | PageFlag::kDirty);
        old_page.clear(cpu, PageFlag::kDirty);
        const auto slot = mapping->slot(swap_cache ? old_page.swap.offset : old_page.index);
        cpu.memory().store(slot, {new_page.pfn().value, 0}, Part::kRemoveMapping);
        old_page.set_refcount(cpu, 1);
    }
    mapping->xa_lock.unlock(cpu);
    return frozen;
}

/// migrate_page_copy(): content and state. What is stored to the old frame from now on is lost. A
/// page that reclaim wanted back after its write-back is not looked for any more.
void migrate_page_copy(Cpu& cpu, Page& new_page, Page& old_page) {
    seal_page(cpu, old_page);
    cpu.emit(Event::kMigratePageCopy, {new_page.pfn().value, old_page.pfn().value});
    cpu.spend(cpu.costs().copy_page, Part::kCopy);
    move_flags(cpu, new_page, old_page,
               PageFlag::kReferenced | PageFlag::kUptodate | PageFlag::kActive |
                   PageFlag::kUnevictable | PageFlag::kDirty | PageFlag::kYoung | PageFlag::kIdle);
    old_page.set_flags(cpu, 0);
}

Migrated move_to_new_page(Cpu& cpu, KernelState& kernel, Page& new_page, Page& old_page) {
    cpu.emit(Event::kMoveToNewPage, {new_page.pfn().value, old_page.pfn().value, kMigrateSync});
    AddressSpace* mapping = page_mapping(cpu, kernel, old_page);
    const bool moved = migrate_page_move_mapping(cpu, mapping, new_page, old_page);
    if (moved) {
        migrate_page_copy(cpu, new_page, old_page);
        // Who waits for the page lock finds that the page has left its file.
        if (!page_is_anon(cpu, old_page)) old_page.set_mapping(cpu, {});
    }
    constexpr std::int64_t kAgain = -11;  // -EAGAIN
    cpu.emit(Event::kMoveToNewPageRet, {moved ? 0 : static_cast<std::uint64_t>(kAgain)});
    return moved ? Migrated::kSuccess : Migrated::kAgain;
}

/// The part of __unmap_and_move() with both pages locked. Opens the unmap operation of a mapped
/// page.
Migrated unmap_and_move_locked(Cpu& cpu, KernelState& kernel, Page& new_page, Page& old_page) {
    const bool page_was_mapped = page_mapped(cpu, old_page);
    if (page_was_mapped) {
        old_page.unmap_operation = begin_operation(cpu, OperationKind::kUnmap, 1);
        try_to_unmap(cpu, kernel, old_page,
                     TtuFlags::kMigration | TtuFlags::kIgnoreMlock | TtuFlags::kIgnoreAccess);
    }
    Migrated rc = Migrated::kAgain;
    if (!page_mapped(cpu, old_page)) rc = move_to_new_page(cpu, kernel, new_page, old_page);
    if (page_was_mapped)
        remove_migration_ptes(cpu, kernel, old_page,
                              rc == Migrated::kSuccess ? new_page : old_page);
    return rc;
}

/// __unmap_and_move(). Waits for the page lock and for write-back only with `force`.
Migrated unmap_and_move_page(Cpu& cpu, KernelState& kernel, Page& new_page, Page& old_page,
                             Force force) {
    if (!trylock_page(cpu, old_page)) {
        if (force == Force::kNo) return Migrated::kAgain;
        lock_page(cpu, old_page);
    }
    if (page_writeback(cpu, kernel, old_page)) {
        if (force == Force::kNo) {
            unlock_page(cpu, old_page);
            return Migrated::kAgain;
        }
        wait_on_page_writeback(cpu, kernel, old_page);
    }
    // The anon_vma must outlive the moment at which nothing maps the page.
    AnonVma* anon_vma =
        page_is_anon(cpu, old_page) ? page_get_anon_vma(cpu, kernel, old_page) : nullptr;
    lock_page(cpu, new_page);  // nobody else knows it: always at once
    const Migrated rc = unmap_and_move_locked(cpu, kernel, new_page, old_page);
    unlock_page(cpu, new_page);
    if (anon_vma) put_anon_vma(cpu, kernel, *anon_vma);
    unlock_page(cpu, old_page);
    if (rc == Migrated::kSuccess) putback_lru_page(cpu, kernel, new_page);
    return rc;
}

/// unmap_and_move(): on success the old frame is free and the new one is on its LRU list.
Migrated unmap_and_move(Cpu& cpu, KernelState& kernel, Page& old_page, NodeId nid, Force force) {
    Page* new_page = kernel.pages.alloc_page_thisnode(cpu, nid);  // alloc_new_node_page()
    if (!new_page) return Migrated::kNoMemory;
    if (old_page.refcount(cpu) == 1) {  // freed from under us: the isolation is all that holds it
        put_page(cpu, kernel, *new_page);
        put_page(cpu, kernel, old_page);
        return Migrated::kSuccess;
    }
    new_page->memcg = old_page.memcg;
    const Migrated rc = unmap_and_move_page(cpu, kernel, *new_page, old_page, force);
    const OperationId unmap = std::exchange(old_page.unmap_operation, 0);
    put_page(cpu, kernel, rc == Migrated::kSuccess ? old_page : *new_page);
    if (unmap)
        end_operation(cpu, unmap, OperationKind::kUnmap,
                      rc == Migrated::kSuccess ? Outcome::kDone : Outcome::kAbandoned, 1);
    return rc;
}

/// One pass of migrate_pages(). What is to be tried again is left in `from`; kNoMemory ends it.
Migrated migrate_pass(Cpu& cpu, KernelState& kernel, PageList& from, NodeId nid, Force force,
                      std::uint64_t& nr_succeeded) {
    Migrated rc = Migrated::kSuccess;
    PageList retry;
    while (!from.empty() && rc != Migrated::kNoMemory) {
        Page& page = from.head();
        from.remove(page);
        rc = unmap_and_move(cpu, kernel, page, nid, force);
        if (rc == Migrated::kSuccess)
            ++nr_succeeded;
        else
            retry.add_tail(page);
    }
    retry.splice_tail(from);
    from.splice_tail(retry);
    return rc;
}

/// do_pages_move(): the system call, for pages that all go to one node.
class PagesMove {
public:
    PagesMove(Cpu& cpu, KernelState& kernel, Mm& mm, NodeId nid, MoveShared shared)
        : cpu_(cpu), kernel_(kernel), mm_(mm), nid_(nid), shared_(shared) {}

    MoveResult run(const std::vector<VirtAddr>& addresses) {
        migrate_prep(cpu_, kernel_);
        bool moved = true;
        for (auto it = addresses.begin(); it != addresses.end() && moved; ++it)
            if (!add_page_for_migration(page_start(*it))) moved = do_move_pages_to_node();
        if (moved) do_move_pages_to_node();
        result_.skipped = addresses.size() - result_.succeeded - result_.failed;
        return result_;
    }

private:
    /// Finds the page at `address` and isolates it, unless it is on the node already. False: an
    /// error that is reported for this address and no other.
    bool add_page_for_migration(VirtAddr address) {
        mmap_sem_lock_read(cpu_, mm_);
        bool ok = false;
        std::optional<UserPage> found;
        if (const Vma* vma = mm_.find_vma(address))
            found = follow_page(cpu_, kernel_, *vma, address, FollFlags::kGet | FollFlags::kDump,
                                Part::kPageWalk);
        if (found) {
            Page& page = kernel_.pages.pfn_to_page(found->frame);
            ok = page.nid() == nid_ || isolate(page);
            put_page(cpu_, kernel_, page);
        }
        mmap_sem_unlock_read(cpu_, mm_);
        return ok;
    }

    bool isolate(Page& page) {
        if (shared_ == MoveShared::kNo && page.mapcount(cpu_) > 1) return false;
        const bool isolated = kernel_.lru.isolate_lru_page(cpu_, page);
        if (isolated)
            pages_.add_tail(page);
        else
            ++result_.failed;
        return isolated;
    }

    /// Moves the pages collected so far. False: some could not be moved.
    bool do_move_pages_to_node() {
        if (pages_.empty()) return true;
        const std::uint64_t queued = pages_.size();
        const bool moved = migrate_pages(cpu_, kernel_, pages_, nid_, MigrateReason::kSyscall) == 0;
        result_.succeeded += queued - pages_.size();
        result_.failed += pages_.size();
        putback_movable_pages(cpu_, kernel_, pages_);
        return moved;
    }

    Cpu& cpu_;
    KernelState& kernel_;
    Mm& mm_;
    const NodeId nid_;
    const MoveShared shared_;
    PageList pages_;
    MoveResult result_;
};

}  // namespace

void remove_migration_ptes(Cpu& cpu, KernelState& kernel, Page& old_page, Page& new_page) {
    rmap_walk(cpu, kernel, new_page, walk_users::remove_migration_ptes, old_page);
}

void migrate_prep(Cpu& cpu, KernelState& kernel) { lru_add_drain_all(cpu, kernel); }

void putback_movable_pages(Cpu& cpu, KernelState& kernel, PageList& pages) {
    while (!pages.empty()) {
        Page& page = pages.head();
        pages.remove(page);
        putback_lru_page(cpu, kernel, page);
    }
}

std::int64_t migrate_pages(Cpu& cpu, KernelState& kernel, PageList& from, NodeId nid,
                           MigrateReason reason) {
    cpu.emit(Event::kMigratePages, {static_cast<std::uint64_t>(reason), kMigrateSync});
    std::uint64_t nr_succeeded = 0;
    Migrated last = Migrated::kSuccess;
    for (unsigned pass = 0; pass < kPasses && !from.empty() && last != Migrated::kNoMemory;
         ++pass) {
        const Force force = pass < kPassesWithoutForce ? Force::kNo : Force::kYes;
        last = migrate_pass(cpu, kernel, from, nid, force, nr_succeeded);
    }
    // Those that were not even tried do not count.
    const bool no_memory = last == Migrated::kNoMemory;
    const std::uint64_t nr_failed = no_memory ? 1 : from.size();
    const std::int64_t rc = no_memory ? kENoMem : static_cast<std::int64_t>(nr_failed);
    cpu.emit(Event::kMmMigratePages,
             {nr_succeeded, nr_failed, kMigrateSync, static_cast<std::uint64_t>(reason)});
    cpu.emit(Event::kMigratePagesRet, {static_cast<std::uint64_t>(rc)});
    return rc;
}

MoveResult move_pages(Cpu& cpu, KernelState& kernel, Mm& mm, const std::vector<VirtAddr>& addresses,
                      NodeId nid, MoveShared shared) {
    Syscall call(cpu, OperationKind::kMovePages, addresses.size());
    const MoveResult result = PagesMove(cpu, kernel, mm, nid, shared).run(addresses);
    call.exit(result.succeeded);
    return result;
}

}  // namespace mmusim::rmap
