// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/call_stack.hpp"

#include <algorithm>

namespace mmusim::platform {

using rmap::Event;

namespace {

/// Marks a caller that is no event of ours.
constexpr Event kAnywhere{};

/// dup_mmap(), or the one of its callers that the compiler has put it into.
constexpr std::string_view kFork = "dup_mmap";
constexpr std::string_view kCallersOfFork[] = {"dup_mm", "copy_mm", "copy_process",
                                               "copy_process.part.0"};

struct CallerRow {
    Event returned;
    Event inside;  ///< innermost of the rows' that is open; kAnywhere: none of them is
    std::string_view caller;
};

constexpr CallerRow kCallers[] = {
    {Event::kRemoveMappingRet, kAnywhere, "shrink_page_list"},
    {Event::kAddToSwapRet, kAnywhere, "shrink_page_list"},
    {Event::kArchTlbbatchFlushRet, Event::kTryToUnmapFlushDirty, "try_to_unmap_flush_dirty"},
    {Event::kArchTlbbatchFlushRet, Event::kTryToUnmapFlush, "try_to_unmap_flush"},
    {Event::kFlushTlbFuncRet, Event::kFlushTlbFuncRemote, "flush_tlb_func_remote"},
    {Event::kFlushTlbFuncRet, Event::kFlushTlbMmRange, "flush_tlb_mm_range"},
    {Event::kFlushTlbFuncRet, Event::kArchTlbbatchFlush, "arch_tlbbatch_flush"},
    {Event::kFlushTlbMmRangeRet, Event::kPtepClearFlush, "ptep_clear_flush"},
    {Event::kFlushTlbMmRangeRet, Event::kTlbFinishMmu, "arch_tlb_finish_mmu"},
    {Event::kFlushTlbMmRangeRet, Event::kFlushTlbBatchedPending, "flush_tlb_batched_pending"},
    {Event::kFlushTlbMmRangeRet, Event::kUnmapPageRange, "unmap_page_range"},
    {Event::kFlushTlbMmRangeRet, Event::kChangeProtectionRange, "change_protection_range"},
    {Event::kFlushTlbMmRangeRet, Event::kMovePageTables, "move_page_tables"},
    {Event::kFlushTlbMmRangeRet, kAnywhere, kFork},
    {Event::kFlushTlbOthersRet, Event::kArchTlbbatchFlush, "arch_tlbbatch_flush"},
    {Event::kFlushTlbOthersRet, Event::kFlushTlbMmRange, "flush_tlb_mm_range"},
    {Event::kMigratePagesRet, Event::kDoMigratePages, "do_migrate_pages.part.0"},
    {Event::kMigratePagesRet, Event::kDoMbind, "do_mbind"},
    {Event::kMigratePagesRet, kAnywhere, "__x64_sys_move_pages"},
    {Event::kMoveToNewPageRet, kAnywhere, "migrate_pages"},
    {Event::kPageMkcleanRet, kAnywhere, "clear_page_dirty_for_io"},
    {Event::kPageReferencedOneRet, Event::kRmapWalkAnon, "rmap_walk_anon"},
    {Event::kPageReferencedOneRet, Event::kRmapWalkFile, "rmap_walk_file"},
    {Event::kPageReferencedRet, Event::kShrinkPageList, "shrink_page_list"},
    {Event::kPageReferencedRet, kAnywhere, "shrink_active_list"},
    {Event::kPageVmaMappedWalkRet, Event::kPageReferencedOne, "page_referenced_one"},
    {Event::kPageVmaMappedWalkRet, Event::kTryToUnmapOne, "try_to_unmap_one"},
    {Event::kPageVmaMappedWalkRet, Event::kRemoveMigrationPte, "remove_migration_pte"},
    {Event::kPageVmaMappedWalkRet, Event::kPageMkcleanOne, "page_mkclean_one"},
    {Event::kPageVmaMappedWalkRet, Event::kPageIdleClearPteRefsOne, "page_idle_clear_pte_refs_one"},
    {Event::kPtepClearFlushRet, Event::kTryToUnmapOne, "try_to_unmap_one"},
    {Event::kPtepClearFlushRet, Event::kPageMkcleanOne, "page_mkclean_one"},
    {Event::kPtepClearFlushRet, Event::kWpPageCopy, "wp_page_copy"},
    {Event::kPtepClearFlushYoungRet, Event::kPageReferencedOne, "page_referenced_one"},
    {Event::kPtepClearFlushYoungRet, Event::kTryToUnmapOne, "try_to_unmap_one"},
    {Event::kRmapWalkAnonRet, Event::kTryToMunlock, "try_to_munlock"},
    {Event::kRmapWalkAnonRet, kAnywhere, "rmap_walk"},
    {Event::kRmapWalkFileRet, Event::kTryToMunlock, "try_to_munlock"},
    {Event::kRmapWalkFileRet, kAnywhere, "rmap_walk"},
    {Event::kShrinkPageListRet, kAnywhere, "shrink_inactive_list"},
    {Event::kSwapDuplicateRet, kAnywhere, "try_to_unmap_one"},
    {Event::kSwapWritepageRet, Event::kShmemWritepage, "shmem_writepage"},
    {Event::kSwapWritepageRet, kAnywhere, "shrink_page_list"},
    {Event::kTlbFinishMmuRet, Event::kFreePgtables, "unmap_region"},
    {Event::kTlbFinishMmuRet, Event::kZapPageRangeSingle, "zap_page_range_single"},
    {Event::kTlbFinishMmuRet, Event::kZapPageRange, "zap_page_range"},
    {Event::kTlbFinishMmuRet, Event::kMadviseFreeSingleVma, "madvise_free_single_vma"},
    {Event::kTlbFinishMmuRet, Event::kClearRefsWrite, "clear_refs_write"},
    {Event::kTlbFinishMmuRet, Event::kExitMmap, "exit_mmap"},
    {Event::kTlbIsNotLazyRet, kAnywhere, "on_each_cpu_cond_mask"},
    {Event::kTryToMunlockRet, kAnywhere, "__munlock_isolated_page"},
    {Event::kTryToUnmapOneRet, Event::kRmapWalkAnon, "rmap_walk_anon"},
    {Event::kTryToUnmapOneRet, Event::kRmapWalkFile, "rmap_walk_file"},
    {Event::kTryToUnmapRet, Event::kShrinkPageList, "shrink_page_list"},
    {Event::kTryToUnmapRet, kAnywhere, "migrate_pages"},
};

/// Functions that return without an event.
constexpr Event kEntryOnly[] = {Event::kChangeProtectionRange,
                                Event::kClearRefsWrite,
                                Event::kDoMbind,
                                Event::kDoMigratePages,
                                Event::kFlushTlbFuncRemote,
                                Event::kFreePgtables,
                                Event::kMadviseFreeSingleVma,
                                Event::kMovePageTables,
                                Event::kPageIdleClearPteRefsOne,
                                Event::kPageMkcleanOne,
                                Event::kRemoveMigrationPte,
                                Event::kShmemWritepage,
                                Event::kTlbGatherMmu,
                                Event::kUnmapPageRange,
                                Event::kZapPageRange,
                                Event::kWpPageCopy,
                                Event::kZapPageRangeSingle};

bool is_entry_only(Event event) {
    return std::find(std::begin(kEntryOnly), std::end(kEntryOnly), event) != std::end(kEntryOnly);
}

/// The event that begins what `event` ends: its name without "_ret". The end of a gather ends all
/// that was done with it.
Event entry_of(Event event) {
    if (event == Event::kTlbFinishMmuRet) return Event::kTlbGatherMmu;
    const std::string_view name = rmap::info(event).name;
    const std::string_view entry = name.substr(0, name.size() - 4);
    for (std::size_t i = 0; i < rmap::kEventCount; ++i)
        if (rmap::kEventTable[i].name == entry) return static_cast<Event>(i);
    return event;
}

}  // namespace

void CallStack::record(Event event, const rmap::EventArguments& arguments) {
    // It does nothing, and returns at once, unless something is pending.
    if (event == Event::kFlushTlbBatchedPending) {
        if (arguments[1]) open_.push_back(event);
        return;
    }
    if (event == Event::kOperationBegin || event == Event::kOperationEnd) return;
    // exit_mmap() calls it, too: it stands for unmap_region() only, which is no event.
    if (event == Event::kFreePgtables &&
        std::find(open_.begin(), open_.end(), Event::kExitMmap) != open_.end())
        return;
    const rmap::EventMark mark = rmap::info(event).mark;
    if (mark == rmap::EventMark::kEntry || is_entry_only(event)) open_.push_back(event);
    if (mark != rmap::EventMark::kReturn) return;
    const auto entry = std::find(open_.rbegin(), open_.rend(), entry_of(event));
    if (entry == open_.rend()) return;
    open_.erase(std::prev(entry.base()), open_.end());
    // The flush was all there was to it.
    if (event == Event::kFlushTlbMmRangeRet && !open_.empty() &&
        open_.back() == Event::kFlushTlbBatchedPending)
        open_.pop_back();
}

bool CallStack::is_same_caller(std::string_view ours, std::string_view theirs) {
    const auto* const end = std::end(kCallersOfFork);
    return ours == theirs ||
           (ours == kFork && std::find(std::begin(kCallersOfFork), end, theirs) != end);
}

std::string_view CallStack::caller_of(Event event) const {
    std::string_view anywhere;
    for (const auto& row : kCallers)
        if (row.returned == event && row.inside == kAnywhere) anywhere = row.caller;
    for (auto inner = open_.rbegin(); inner != open_.rend(); ++inner)
        for (const auto& row : kCallers)
            if (row.returned == event && row.inside != kAnywhere && row.inside == *inner)
                return row.caller;
    return anywhere;
}

}  // namespace mmusim::platform
