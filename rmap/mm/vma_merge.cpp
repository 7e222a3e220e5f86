// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/vma_merge.hpp"

#include "rmap/mm/vma_adjust.hpp"

namespace mmusim::rmap {

namespace {

bool is_mergeable_vma(const Vma& vma, const MergeRequest& request) {
    return vma.vm_flags == request.vm_flags && vma.vm_file == request.file;
}

/// A VMA with more than one AVC shares pages with the parents that it was cloned from; merging such
/// VMAs would make their anon_vmas live for ever. `vma` is nullptr if that does not matter.
bool is_mergeable_anon_vma(const AnonVma* a, const AnonVma* b, const Vma* vma) {
    if ((!a || !b) && (!vma || vma->anon_vma_chain.size() == 1)) return true;
    return a == b;
}

/// vma_merge() with its local variables.
class VmaMerge {
public:
    VmaMerge(Cpu& cpu, KernelState& kernel, Mm& mm, const MergeRequest& request)
        : cpu_(cpu),
          kernel_(kernel),
          request_(request),
          start_(request.range.start),
          end_(request.range.end),
          prev_(mm.find_vma_before(start_)) {
        next_ = prev_ ? mm.next(*prev_) : mm.mmap.empty() ? nullptr : mm.mmap.begin()->second.get();
        area_ = next_;
        if (area_ && area_->vm_end == end_) next_ = mm.next(*area_);  // cases 6, 7, 8
    }

    Vma* run() {
        if (prev_ && prev_->vm_end == start_ && can_merge_after(*prev_)) return extend_previous();
        if (next_ && end_ == next_->vm_start && can_merge_before(*next_)) return extend_next();
        return nullptr;
    }

private:
    bool can_merge_after(const Vma& vma) {
        return is_mergeable_vma(vma, request_) &&
               is_mergeable_anon_vma(request_.anon_vma, anon_vma_of(vma), &vma) &&
               vma.last_pgoff() + 1 == request_.pgoff;
    }

    bool can_merge_before(const Vma& vma) {
        return is_mergeable_vma(vma, request_) &&
               is_mergeable_anon_vma(request_.anon_vma, anon_vma_of(vma), &vma) &&
               vma.vm_pgoff == request_.pgoff + request_.range.pages();
    }

    Vma* extend_previous() {
        const bool next_too =
            next_ && end_ == next_->vm_start && can_merge_before(*next_) &&
            is_mergeable_anon_vma(anon_vma_of(*prev_), anon_vma_of(*next_), nullptr);
        // Cases 1 and 6; 2, 5 and 7.
        const VirtAddr end = next_too ? next_->vm_end : end_;
        adjust(*prev_, {{prev_->vm_start, end}, prev_->vm_pgoff}, prev_);
        return prev_;
    }

    Vma* extend_next() {
        if (prev_ && start_ < prev_->vm_end)  // case 4
            adjust(*prev_, {{prev_->vm_start, start_}, prev_->vm_pgoff}, next_);
        else  // cases 3 and 8
            adjust(*area_, {{start_, next_->vm_end}, next_->vm_pgoff - request_.range.pages()},
                   next_);
        return next_;
    }

    AnonVma* anon_vma_of(const Vma& vma) { return vma_anon_vma(cpu_, kernel_, vma); }
    void adjust(Vma& vma, const VmaBounds& to, const Vma* expand) {
        vma_adjust(cpu_, kernel_, vma, to, nullptr, expand);
    }

    Cpu& cpu_;
    KernelState& kernel_;
    const MergeRequest& request_;
    const VirtAddr start_;
    const VirtAddr end_;
    Vma* prev_;
    Vma* next_ = nullptr;  ///< behind the range
    Vma* area_ = nullptr;  ///< behind prev_: what the range is part of, or next_
};

}  // namespace

Vma* vma_merge(Cpu& cpu, KernelState& kernel, Mm& mm, const MergeRequest& request) {
    return VmaMerge(cpu, kernel, mm, request).run();
}

Vma& vma_modify(Cpu& cpu, KernelState& kernel, Vma& vma, VirtRange range, std::uint64_t newflags) {
    MergeRequest merge;
    merge.range = range;
    merge.vm_flags = newflags;
    merge.anon_vma = vma_anon_vma(cpu, kernel, vma);
    merge.file = vma.vm_file;
    merge.pgoff = vma.page_index(range.start);
    if (Vma* merged = vma_merge(cpu, kernel, *vma.vm_mm, merge)) return *merged;
    if (range.start != vma.vm_start) split_vma(cpu, kernel, vma, range.start, NewPart::kBelow);
    if (range.end != vma.vm_end) split_vma(cpu, kernel, vma, range.end, NewPart::kAbove);
    return vma;
}

}  // namespace mmusim::rmap
