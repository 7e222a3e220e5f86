// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/swap_readahead.hpp"

#include <algorithm>
#include <optional>

#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::uint64_t kMaxPages = 1 << 3;  // page_cluster, of a machine with more than 16 MiB
constexpr std::uint64_t kInitialHits = 4;    ///< a small window to begin with
constexpr std::uint64_t kHeaderSlots = 1;    ///< of the device, before the first one that we count

/// vma->swap_readahead_info: where the last fault was, how many pages it was to read, and how many
/// of them were used.
struct SwapRaVal {
    static constexpr unsigned kHitsBits = kPageShift / 2;  // SWAP_RA_WIN_SHIFT
    static constexpr std::uint64_t kHitsMax = (1 << kHitsBits) - 1;

    VirtAddr address{};
    std::uint64_t window = 0;
    std::uint64_t hits = 0;

    static SwapRaVal load(Cpu& cpu, const Vma& vma) {
        std::uint64_t value = cpu.memory().load(vma.swap_readahead_info(), Part::kSwap).value;
        if (value == 0) value = kInitialHits;
        return {page_start(VirtAddr{value}), value >> kHitsBits & kHitsMax, value & kHitsMax};
    }
    void store(Cpu& cpu, const Vma& vma) const {
        const std::uint64_t value = address.value | window << kHitsBits | hits;
        cpu.memory().store(vma.swap_readahead_info(), {value, 0}, Part::kSwap);
    }
};

/// swap_use_vma_readahead(): a disk that has to seek (nr_rotate_swap) is read by slots.
bool swap_use_vma_readahead(const KernelState& kernel) {
    return kernel.swap.device != SwapDevice::kDisk;
}

/// __swapin_nr_pages(). Offsets are of slots or of pages in memory.
std::uint64_t swapin_nr_pages(std::uint64_t prev_offset, std::uint64_t offset, std::uint64_t hits,
                              std::uint64_t prev_win) {
    std::uint64_t pages = 4;
    if (hits > 0) {
        while (pages < hits + 2) pages *= 2;
    } else {
        // No hits to judge by: perhaps it is a sequence.
        pages = offset == prev_offset + 1 || offset + 1 == prev_offset ? 2 : 1;
    }
    pages = std::min(pages, kMaxPages);
    return std::max(pages, prev_win / 2);  // it does not shrink too fast
}

/// What is read ahead of one fault: the requests are held back (blk_start_plug()), so a disk gets
/// them as one.
class ReadAhead {
public:
    ReadAhead(Cpu& cpu, KernelState& kernel, unsigned memcg)
        : cpu_(cpu), kernel_(kernel), memcg_(memcg) {}

    void read(SwapEntry entry, bool wanted) {
        const auto [page, is_new] = read_swap_cache(cpu_, kernel_, entry, memcg_, request_);
        if (!page) return;
        if (is_new) request_ = SwapRequest::kMerged;
        if (is_new && !wanted) {
            page->set(cpu_, PageFlag::kReclaim);  // PG_readahead is the same bit
            kernel_.vm_events.count(cpu_, memcg_, VmEvent::kSwapRa);
        }
        put_page(cpu_, kernel_, *page);
    }

private:
    Cpu& cpu_;
    KernelState& kernel_;
    const unsigned memcg_;
    SwapRequest request_ = SwapRequest::kOwn;
};

/// swap_ra_info(): the pages around the address that are read, inside its VMA and its page table.
/// None: no reading ahead.
std::optional<VirtRange> swap_ra_info(VmFault& vmf) {
    const SwapRaVal last = SwapRaVal::load(vmf.cpu, vmf.vma);
    const std::uint64_t fpfn = vmf.address.value >> kPageShift;
    const std::uint64_t pfn = last.address.value >> kPageShift;
    const std::uint64_t window = swapin_nr_pages(pfn, fpfn, last.hits, last.window);
    SwapRaVal{vmf.address, window, 0}.store(vmf.cpu, vmf.vma);
    if (window == 1) return std::nullopt;

    std::uint64_t before = (window - 1) / 2;
    if (fpfn == pfn + 1) before = 0;
    if (pfn == fpfn + 1) before = window - 1;
    const std::uint64_t lpfn = fpfn - std::min(before, fpfn);
    const VirtAddr table{vmf.address.value & ~(kLargeSize - 1)};
    return VirtRange{std::max({VirtAddr{lpfn << kPageShift}, vmf.vma.vm_start, table}),
                     std::min({VirtAddr{(fpfn - before + window) << kPageShift}, vmf.vma.vm_end,
                               table + kLargeSize})};
}

Page* swap_vma_readahead(VmFault& vmf, SwapEntry fentry) {
    if (const auto range = swap_ra_info(vmf)) {
        ReadAhead ahead(vmf.cpu, vmf.kernel, vmf.mm.memcg);
        // Nobody holds the lock of the table: what is read ahead may not be needed any more.
        for (VirtAddr address = range->start; address < range->end; address = address + kPageSize) {
            const PhysAddr ptep{vmf.slot.ptep.value + (address.value >> kPageShift) * 8 -
                                (vmf.address.value >> kPageShift) * 8};
            const Pte pte = pte_of(read_pte(vmf.cpu, ptep));
            if (pte.none() || pte.present() || pte.migration()) continue;
            ahead.read({pte.type(), pte.offset()}, address == vmf.address);
        }
        lru_add_drain(vmf.cpu, vmf.kernel);
    }
    return read_swap_cache(vmf.cpu, vmf.kernel, fentry, vmf.mm.memcg).page;
}

/// swapin_nr_pages(): a power of two.
std::uint64_t cluster_pages(Cpu& cpu, SwapSpace& swap, std::uint64_t offset) {
    const SwapSpace::ClusterReadahead& words = swap.cluster_readahead;
    // Counted from ATOMIC_INIT(4).
    const std::uint64_t hits =
        cpu.memory().exchange(words.hits, {-kInitialHits, 0}, Part::kSwap).value + kInitialHits;
    const std::uint64_t prev_offset = cpu.memory().load(words.prev_offset, Part::kSwap).value;
    const std::uint64_t prev_win = cpu.memory().load(words.last_pages, Part::kSwap).value;
    const std::uint64_t pages = swapin_nr_pages(prev_offset, offset, hits, prev_win);
    if (hits == 0) cpu.memory().store(words.prev_offset, {offset, 0}, Part::kSwap);
    cpu.memory().store(words.last_pages, {pages, 0}, Part::kSwap);
    return pages;
}

/// TestClearPageReadahead(), and what it says.
bool was_read_ahead(Cpu& cpu, KernelState& kernel, Page& page) {
    if (!page.test_and_clear(cpu, PageFlag::kReclaim)) return false;
    kernel.vm_events.count(cpu, page.memcg, VmEvent::kSwapRaHit);
    return true;
}

Page* find_cached(Cpu& cpu, KernelState& kernel, SwapEntry entry) {
    return find_get_page(cpu, kernel, kernel.swap.cache, entry.offset, Part::kSwap);
}

}  // namespace

Page* lookup_swap_cache(Cpu& cpu, KernelState& kernel, SwapEntry entry) {
    Page* page = find_cached(cpu, kernel, entry);
    if (page && was_read_ahead(cpu, kernel, *page))
        cpu.memory().fetch_add(kernel.swap.cluster_readahead.hits, 1, Part::kSwap);
    return page;
}

Page* lookup_swap_cache(VmFault& vmf, SwapEntry entry) {
    if (!swap_use_vma_readahead(vmf.kernel)) return lookup_swap_cache(vmf.cpu, vmf.kernel, entry);
    Page* page = find_cached(vmf.cpu, vmf.kernel, entry);
    if (!page) return nullptr;
    const bool readahead = was_read_ahead(vmf.cpu, vmf.kernel, *page);
    SwapRaVal last = SwapRaVal::load(vmf.cpu, vmf.vma);
    if (readahead) last.hits = std::min(last.hits + 1, SwapRaVal::kHitsMax);
    last.address = vmf.address;
    last.store(vmf.cpu, vmf.vma);
    return page;
}

Page* swapin_readahead(VmFault& vmf, SwapEntry entry) {
    if (swap_use_vma_readahead(vmf.kernel)) return swap_vma_readahead(vmf, entry);
    return swap_cluster_readahead(vmf.cpu, vmf.kernel, entry, vmf.mm.memcg);
}

Page* swap_cluster_readahead(Cpu& cpu, KernelState& kernel, SwapEntry entry, unsigned memcg) {
    SwapSpace& swap = kernel.swap;
    const std::uint64_t offset = entry.offset + kHeaderSlots;
    const std::uint64_t mask = cluster_pages(cpu, swap, offset) - 1;
    if (mask != 0) {
        // As many as there are, aligned, so that each slot belongs to one cluster.
        const std::uint64_t end = std::min(offset | mask, swap.total() + kHeaderSlots - 1);
        ReadAhead ahead(cpu, kernel, memcg);
        for (std::uint64_t slot = std::max(offset & ~mask, kHeaderSlots); slot <= end; ++slot)
            ahead.read({entry.type, slot - kHeaderSlots}, slot == offset);
        lru_add_drain(cpu, kernel);
    }
    return read_swap_cache(cpu, kernel, entry, memcg).page;
}

}  // namespace mmusim::rmap
