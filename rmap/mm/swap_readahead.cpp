// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/swap_readahead.hpp"

#include <algorithm>
#include <optional>

#include "rmap/mm/page_release.hpp"

namespace mmusim::rmap {

namespace {

constexpr unsigned kMaxWindow = 1 << 3;  // page_cluster, of a machine with more than 16 MiB

/// vma->swap_readahead_info: where the last fault was, how many pages it was to read, and how many
/// of them were used.
struct SwapRaVal {
    static constexpr unsigned kHitsBits = kPageShift / 2;  // SWAP_RA_WIN_SHIFT
    static constexpr std::uint64_t kHitsMax = (1 << kHitsBits) - 1;
    static constexpr std::uint64_t kInitial = 4;  ///< hits, to begin with a small window

    VirtAddr address{};
    std::uint64_t window = 0;
    std::uint64_t hits = 0;

    static SwapRaVal load(Cpu& cpu, const Vma& vma) {
        std::uint64_t value = cpu.memory().load(vma.swap_readahead_info(), Part::kSwap).value;
        if (value == 0) value = kInitial;
        return {page_start(VirtAddr{value}), value >> kHitsBits & kHitsMax, value & kHitsMax};
    }
    void store(Cpu& cpu, const Vma& vma) const {
        const std::uint64_t value = address.value | window << kHitsBits | hits;
        cpu.memory().store(vma.swap_readahead_info(), {value, 0}, Part::kSwap);
    }
};

/// __swapin_nr_pages()
std::uint64_t swapin_nr_pages(std::uint64_t offset, std::uint64_t prev_offset, SwapRaVal last) {
    std::uint64_t pages = 4;
    if (last.hits > 0) {
        while (pages < last.hits + 2) pages *= 2;
    } else {
        // No hits to judge by: perhaps it is a sequence.
        pages = offset == prev_offset + 1 || offset + 1 == prev_offset ? 2 : 1;
    }
    pages = std::min<std::uint64_t>(pages, kMaxWindow);
    return std::max(pages, last.window / 2);  // it does not shrink too fast
}

/// swap_ra_info(): the pages around the address that are read, inside its VMA and its page table.
/// None: no reading ahead.
std::optional<VirtRange> swap_ra_info(VmFault& vmf) {
    const SwapRaVal last = SwapRaVal::load(vmf.cpu, vmf.vma);
    const std::uint64_t fpfn = vmf.address.value >> kPageShift;
    const std::uint64_t pfn = last.address.value >> kPageShift;
    const std::uint64_t window = swapin_nr_pages(fpfn, pfn, last);
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

/// One page of the window; it may be the one that is needed.
void read_ahead(VmFault& vmf, VirtAddr address, Pte pte) {
    if (pte.none() || pte.present() || pte.migration()) return;
    SwapCacheRead how = SwapCacheRead::kFound;
    Page* page =
        read_swap_cache(vmf.cpu, vmf.kernel, {pte.type(), pte.offset()}, vmf.mm.memcg, &how);
    if (!page) return;
    if (how == SwapCacheRead::kRead && address != vmf.address)
        page->set(vmf.cpu, PageFlag::kReclaim);  // PG_readahead is the same bit
    put_page(vmf.cpu, vmf.kernel, *page);
}

void swap_vma_readahead(VmFault& vmf) {
    const auto range = swap_ra_info(vmf);
    if (!range) return;
    // Nobody holds the lock of the table: what is read ahead may not be needed any more.
    for (VirtAddr address = range->start; address < range->end; address = address + kPageSize) {
        const PhysAddr ptep{vmf.slot.ptep.value + (address.value >> kPageShift) * 8 -
                            (vmf.address.value >> kPageShift) * 8};
        read_ahead(vmf, address, pte_of(read_pte(vmf.cpu, ptep)));
    }
    lru_add_drain(vmf.cpu, vmf.kernel);
}

}  // namespace

Page* lookup_swap_cache(VmFault& vmf, SwapEntry entry) {
    SwapSpace& swap = vmf.kernel.swap;
    Page* page = find_get_page(vmf.cpu, vmf.kernel, swap.cache, entry.offset, Part::kSwap);
    if (!page || swap.device == SwapDevice::kDisk) return page;
    SwapRaVal last = SwapRaVal::load(vmf.cpu, vmf.vma);
    if (page->test_and_clear(vmf.cpu, PageFlag::kReclaim))
        last.hits = std::min(last.hits + 1, SwapRaVal::kHitsMax);
    last.address = vmf.address;
    last.store(vmf.cpu, vmf.vma);
    return page;
}

Page* swapin_readahead(VmFault& vmf, SwapEntry entry) {
    if (vmf.kernel.swap.device != SwapDevice::kDisk) swap_vma_readahead(vmf);
    return read_swap_cache(vmf.cpu, vmf.kernel, entry, vmf.mm.memcg);
}

}  // namespace mmusim::rmap
