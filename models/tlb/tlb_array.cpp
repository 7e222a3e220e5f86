// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_array.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::models {

using rmap::Access;
using rmap::PageNumber;
using rmap::Pcid;
using rmap::TlbOperation;

const Translation* TlbArray::find(Array& array, std::uint64_t page, TlbTag tag) {
    if (const auto* own = array.find(page, {page, tag})) return own;
    return array.find(page, {page, {kGlobal, tag.vm()}});
}

const Translation* TlbArray::lookup(PageNumber page, TlbTag tag, Access access) {
    ++stats_.lookups;
    const Translation* found = find(small_, page.value, tag);
    if (!found) found = find(large_, page.value >> rmap::kLargeOrder, tag);
    const bool usable = found && (access == Access::kRead || (found->writable && found->dirty));
    ++(usable ? stats_.hits : stats_.misses);
    return usable ? found : nullptr;
}

void TlbArray::insert(PageNumber page, TlbTag tag, const Translation& translation) {
    if (translation.global) tag = {kGlobal, tag.vm()};
    if (translation.large)
        large_.insert(page.value >> rmap::kLargeOrder, {page.value >> rmap::kLargeOrder, tag},
                      translation);
    else
        small_.insert(page.value, {page.value, tag}, translation);
}

std::uint64_t TlbArray::invalidate_page(PageNumber page, Pcid pcid, Globals globals) {
    const auto in = [pcid, globals](std::uint64_t number) {
        return [number, pcid, globals](const Key& key, const Translation&) {
            const bool global = key.tag.pcid() == kGlobal && globals == Globals::kDropped;
            return key.page == number && key.tag.vm() == 0 && (key.tag.pcid() == pcid || global);
        };
    };
    const std::uint64_t large = page.value >> rmap::kLargeOrder;
    return small_.erase_in_set(page.value, in(page.value)) + large_.erase_in_set(large, in(large));
}

std::uint64_t TlbArray::invalidate(const TlbOperation& operation) {
    const auto of_pcid = [&](const Key& key, const Translation&) {
        return key.tag == TlbTag{operation.pcid, 0};
    };
    const auto of_vm = [](rmap::VmId vm) {
        return [vm](const Key& key, const Translation&) { return key.tag.vm() == vm; };
    };
    std::uint64_t erased = 0;
    switch (operation.kind) {
        case TlbOperation::Kind::kInvlpg:
            erased = invalidate_page(rmap::page_of(operation.address), operation.pcid,
                                     Globals::kDropped);
            break;
        case TlbOperation::Kind::kInvpcidAddress:
            erased =
                invalidate_page(rmap::page_of(operation.address), operation.pcid, Globals::kKept);
            break;
        case TlbOperation::Kind::kCr3Write:
            erased = erase_if(of_pcid);
            break;
        case TlbOperation::Kind::kCr3WriteNoFlush:
            break;
        case TlbOperation::Kind::kAll:
            erased = erase_if(of_vm(0));
            break;
        case TlbOperation::Kind::kInvept:
            MMUSIM_CHECK(operation.vm != 0, "INVEPT names a guest");
            erased = erase_if(of_vm(operation.vm));
            break;
    }
    stats_.invalidated += erased;
    return erased;
}

}  // namespace mmusim::models
