// SPDX-License-Identifier: Apache-2.0
// The operation itself: what do_op() of the captured program calls.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "platform/conform/workload.hpp"
#include "rmap/mm/address_space.hpp"
#include "rmap/mm/page_release.hpp"
#include "rmap/mm/page_writeback.hpp"
#include "rmap/types/check.hpp"
#include "rmap/unmap/page_idle.hpp"

namespace mmusim::platform {

using rmap::Access;
using rmap::VirtAddr;
using rmap::VirtRange;
using rmap::VmFlags;

namespace {

constexpr rmap::NodeId kFarNode = 1;     ///< where the program moves its pages to
constexpr std::size_t kMaxMoved = 1024;  ///< pages that it moves at most
/// Where mremap(2) is asked to move the target.
constexpr VirtAddr kMovedTo{0x100000000000 + (std::uint64_t{64} << 30)};

/// Errors of system calls that never come to our kernel: the program asked for what it has not got.
constexpr std::int64_t kNoFile = -9;    // -EBADF
constexpr std::int64_t kInvalid = -22;  // -EINVAL

constexpr std::pair<std::string_view, rmap::Madvise> kAdvice[] = {
    {"dontneed", rmap::Madvise::kDontneed},
    {"free", rmap::Madvise::kFree},
    {"remove", rmap::Madvise::kRemove}};

std::int64_t error_number(rmap::Errno error) { return -static_cast<std::int64_t>(error); }

}  // namespace

/// move_pages(2) to node 1; the program counts the pages whose status says that they are there. The
/// status of pages that were there already is written only if others were moved.
std::int64_t Workload::move(rmap::Cpu& cpu) {
    std::vector<VirtAddr> pages;
    const VirtRange target = capture_.target;
    for (VirtAddr page = target.start; page < target.end && pages.size() < kMaxMoved;
         page = page + rmap::kPageSize)
        pages.push_back(page);
    const auto shared = arguments_.op == "moveall" ? rmap::MoveShared::kYes : rmap::MoveShared::kNo;
    const auto moved = machine_.kernel().move_pages(cpu, main_mm(), pages, kFarNode, shared);
    if (moved.succeeded == 0) return 0;
    std::int64_t there = 0;
    for (const VirtAddr page : pages) {
        const auto word = machine_.kernel().read_pte(cpu, main_mm(), page);
        const rmap::Pte pte{word ? word->value : 0};
        if (pte.present() &&
            machine_.kernel().state().pages.pfn_to_page(pte.frame()).nid() == kFarNode)
            ++there;
    }
    return there;
}

/// The bitmap of idle pages, a bit at a time: written for every page, or read. Returns how many
/// were marked, or are still.
std::int64_t Workload::page_idle(rmap::Cpu& cpu, bool set) {
    auto& kernel = machine_.kernel();
    std::int64_t count = 0;
    for (VirtAddr at = capture_.target.start; at < capture_.target.end; at = at + rmap::kPageSize) {
        const auto word = kernel.read_pte(cpu, main_mm(), at);
        const rmap::Pte pte{word ? word->value : 0};
        if (!pte.present()) continue;
        const std::uint64_t frame = pte.frame().value;
        const rmap::FrameNumber first{frame - frame % rmap::kBitmapChunkBits};
        const std::uint64_t bit = std::uint64_t{1} << frame % rmap::kBitmapChunkBits;
        if (set) {
            kernel.page_idle_bitmap_write(cpu, first, bit);
            ++count;
        } else {
            count += (kernel.page_idle_bitmap_read(cpu, first) & bit) != 0;
        }
    }
    return count;
}

/// migrate_pages(2) from node 0 to node 1. The program may move what others use as well.
std::int64_t Workload::migrate_pages(rmap::Cpu& cpu) {
    constexpr rmap::NodeMask kFrom = 1;
    constexpr rmap::NodeMask kTo = rmap::NodeMask{1} << kFarNode;
    return machine_.kernel().migrate_pages(cpu, main_mm(), kFrom, kTo, rmap::MoveShared::kYes);
}

/// What is written to /proc/PID/clear_refs of every process, main first.
void Workload::clear_refs(rmap::Cpu& cpu, rmap::ClearRefs type) {
    for (unsigned n = 0; n < arguments_.procs; ++n)
        machine_.kernel().clear_refs(cpu, *member(process_name(n)).mm, type);
}

std::int64_t Workload::operate(models::CoreModule& core, rmap::Cpu& cpu) {
    const std::string& op = arguments_.op;
    if (op.rfind("child", 0) == 0) {
        told_ = process_name(1);
        return 0;
    }
    if (op == "fork") return fork(cpu);
    if (op == "move" || op == "moveall") return move(cpu);
    if (op == "idleset" || op == "idleread") return page_idle(cpu, op == "idleset");
    if (op == "clearrefs" || op == "softdirty") {
        clear_refs(cpu, op == "clearrefs" ? rmap::ClearRefs::kAll : rmap::ClearRefs::kSoftDirty);
        return 0;
    }
    if (op == "migrate") return migrate_pages(cpu);
    if (op == "fsync" || op == "truncate" || op == "punch") return operate_on_file(cpu);
    return operate_on_range(core, cpu, arguments_.operated(capture_.target));
}

void Workload::obey(models::CoreModule& core, rmap::Cpu& cpu) {
    auto& kernel = machine_.kernel();
    rmap::Mm& mm = *member(std::exchange(told_, {})).mm;
    const VirtRange target = capture_.target;
    obeying_ = true;
    if (arguments_.op == "childmunmap") kernel.munmap(cpu, mm, target);
    if (arguments_.op == "childmlock") kernel.mlock(cpu, mm, target);
    if (arguments_.op == "childmunlock") kernel.munlock(cpu, mm, target);
    if (arguments_.op == "childexit") exit(cpu, mm);
    if (arguments_.op == "childwrite") touch_all(core, cpu, mm, Access::kWrite);
    obeying_ = false;
}

/// exit_mmap() gathers a whole address space, and unmaps it.
bool Workload::is_exit(const CaptureEvent& event) {
    return event.name == "tlb_gather_mmu" &&
           event.number("start") == rmap::kAllAddresses.start.value &&
           event.number("end") == rmap::kAllAddresses.end.value;
}

/// The child has its parent's name, and an address space that no header lists.
std::set<std::uint64_t> Workload::find_forked() const {
    std::set<std::uint64_t> found;
    if (arguments_.op != "fork") return found;
    for (const auto& event : capture_.events)
        if (is_exit(event) && !capture_.mms.count(event.number("mm")))
            found.insert(event.number("mm"));
    return found;
}

/// The child has nothing to do but to exit, when the scheduler lets it run.
std::int64_t Workload::fork(rmap::Cpu& cpu) {
    child_ = &machine_.kernel().fork(cpu, *operator_().mm, "child");
    return 0;
}

void Workload::exit_child(rmap::Cpu& cpu) {
    exit(cpu, *child_);
    const rmap::MmId mm = child_->context.id;
    strangers_[bindings_.theirs(Identity::kMm, mm)] = std::exchange(child_, nullptr);
    bindings_.retire_ours(Identity::kMm, mm);
}

void Workload::exit(rmap::Cpu& cpu, rmap::Mm& mm) {
    std::vector<std::uintptr_t> vmas;
    for (const auto& entry : mm.mmap)
        vmas.push_back(reinterpret_cast<std::uintptr_t>(entry.second.get()));
    machine_.task(cpu.id()).mm = &mm;
    machine_.kernel().exit(cpu, mm);
    for (const std::uintptr_t vma : vmas) bindings_.retire_ours(Identity::kVma, vma);
}

bool Workload::obeyed(rmap::Cpu& cpu) {
    if (child_ || obeying_) return false;
    if (told_.empty()) return true;
    rmap::Mm& mm = *member(std::exchange(told_, {})).mm;
    const VirtRange target = capture_.target;
    if (arguments_.op == "childmunlock") {
        const auto* vma = mm.find_vma(target.start);
        return !vma || !vma->has(VmFlags::kLocked);
    }
    if (arguments_.op != "childwrite") return false;
    for (VirtAddr at = target.start; at < target.end; at = at + rmap::kPageSize) {
        const auto word = machine_.kernel().read_pte(cpu, mm, at);
        const rmap::Pte pte{word ? word->value : 0};
        if (!pte.valid() || !pte.writable()) return false;
    }
    return true;
}

void Workload::write_back(rmap::Cpu& cpu) {
    if (file_)
        rmap::do_writepages(cpu, machine_.kernel().state(), *file_, {0, rmap::kToTheEnd},
                            rmap::WritebackSync::kNone);
}

std::int64_t Workload::operate_on_file(rmap::Cpu& cpu) {
    auto& kernel = machine_.kernel();
    // The operator was forked before the file was opened.
    if (!file_ || arguments_.by_rec()) return kNoFile;
    if (arguments_.op == "fsync") {
        kernel.fsync(cpu, *file_);
        return 0;
    }
    if (arguments_.op == "truncate") {
        kernel.truncate(cpu, *file_, 0);
        return 0;
    }
    const VirtRange range = arguments_.operated(capture_.target);
    if (range.start == range.end) return kInvalid;
    const std::uint64_t first = (range.start - capture_.target.start) >> rmap::kPageShift;
    kernel.fallocate_punch_hole(cpu, *file_, {first, first + range.pages() - 1});
    return 0;
}

std::int64_t Workload::operate_on_range(models::CoreModule& core, rmap::Cpu& cpu, VirtRange range) {
    auto& kernel = machine_.kernel();
    rmap::Mm& mm = *operator_().mm;
    const std::string& op = arguments_.op;
    // v5.0 knows neither.
    if (op == "none" || op == "pageout" || op == "cold") return op == "none" ? 0 : kInvalid;
    if (range.start == range.end) return op == "munmap" || op == "mremap" ? kInvalid : 0;
    if (op == "mbind")
        return error_number(kernel.mbind(cpu, mm, range, kFarNode, rmap::MoveShared::kYes).error);
    if (op == "munmap") {
        kernel.munmap(cpu, mm, range);
        return 0;
    }
    if (op == "mprotect" || op == "protnone")
        return error_number(
            kernel.mprotect(cpu, mm, range, op == "mprotect" ? VmFlags::kRead : 0).error);
    if (op == "mremap")
        return error_number(kernel.mremap(cpu, mm, {range, range.pages(), kMovedTo}));
    for (const auto& [name, advice] : kAdvice)
        if (op == name) return error_number(kernel.madvise(cpu, mm, range, advice).error);
    if (op == "mlock") return error_number(kernel.mlock(cpu, mm, range));
    if (op == "munlock") return error_number(kernel.munlock(cpu, mm, range));
    if (op == "msync") return error_number(kernel.msync(cpu, mm, range));
    MMUSIM_CHECK(op == "read" || op == "write", fmt::format("the operation {} is modelled", op));
    for (VirtAddr at = range.start; at < range.end; at = at + rmap::kPageSize)
        touch(core, cpu, mm, at, op == "read" ? Access::kRead : Access::kWrite);
    return 0;
}

// ---- faults of those who use the memory meanwhile ----

/// The page that do_swap_page() is called for: whoever finds it in migration says so next;
/// otherwise the one of a VMA, one of those that came along, that is not present.
std::optional<VirtAddr> Workload::swapped_page(rmap::Cpu& cpu, const CaptureEvent& event) {
    const CaptureEvent* const end = capture_.events.data() + capture_.events.size();
    const auto* next = std::find_if(&event + 1, end, [&](const CaptureEvent& later) {
        return later.cpu == event.cpu && !later.irq;
    });
    if (next != end && next->name == "migration_entry_wait") return VirtAddr{next->number("addr")};
    const std::uint64_t vma = event.number("vma");
    for (const auto& stranger : cast_.strangers)
        for (const auto& visit : stranger.visits) {
            if (visit.vma != vma) continue;
            const auto word =
                machine_.kernel().read_pte(cpu, *member(name_of(visit.mm)).mm, visit.address);
            if (word && rmap::Pte{word->value}.swap_type()) return visit.address;
        }
    return std::nullopt;
}

const rmap::Page* Workload::cached_page(rmap::Cpu& cpu, const CaptureEvent& fault) {
    const auto address = swapped_page(cpu, fault);
    if (!address) return nullptr;
    auto& state = machine_.kernel().state();
    const auto word = machine_.kernel().read_pte(cpu, *machine_.task(cpu.id()).mm, *address);
    const rmap::Pte pte{word ? word->value : 0};
    if (!pte.swap_type() || pte.migration()) return nullptr;
    const rmap::PhysAddr slot = state.swap.cache.slot(pte.offset());
    const auto frame = cpu.memory().load(slot, rmap::Part::kUser).value;
    return frame ? &state.pages.pfn_to_page({frame}) : nullptr;
}

/// The page that wp_page_copy() is called for: its entry is cleared next.
std::optional<VirtAddr> Workload::copied_page(const CaptureEvent& event) const {
    const CaptureEvent* const end = capture_.events.data() + capture_.events.size();
    const auto* next = std::find_if(&event + 1, end, [&](const CaptureEvent& later) {
        return later.cpu == event.cpu && !later.irq;
    });
    if (next == end || next->name != "ptep_clear_flush") return std::nullopt;
    return VirtAddr{next->number("addr")};
}

std::optional<Workload::UserAccess> Workload::faulting_access(rmap::Cpu& cpu,
                                                              const CaptureEvent& event) {
    constexpr std::uint64_t kWriteFault = 2;      // X86_PF_WRITE
    constexpr std::uint64_t kFaultFlagWrite = 1;  // FAULT_FLAG_WRITE
    rmap::Mm* mm = machine_.task(cpu.id()).mm;
    const auto theirs = capture_.mm_of_task(event.task);
    if (theirs && (!mm || mm != child_)) mm = &mm_of(cpu, theirs);
    const auto access = [](bool write) { return write ? Access::kWrite : Access::kRead; };
    if (event.name == "page_fault_user")
        return UserAccess{
            mm, {event.number("address")}, access(event.number("error_code") & kWriteFault)};
    if (event.name == "handle_mm_fault")
        return UserAccess{
            mm, {event.number("addr")}, access(event.number("flags") & kFaultFlagWrite)};
    if (event.name == "ptep_set_access_flags")
        return UserAccess{
            mm, {event.number("addr")}, access(rmap::Pte{event.number("pte")}.writable())};
    if (event.name == "wp_page_copy") {
        const auto address = copied_page(event);
        return address ? std::optional(UserAccess{mm, *address, Access::kWrite}) : std::nullopt;
    }
    if (event.name != "do_swap_page") return std::nullopt;
    if (const auto address = swapped_page(cpu, event))
        return UserAccess{mm, *address, Access::kRead};
    return std::nullopt;
}

}  // namespace mmusim::platform
