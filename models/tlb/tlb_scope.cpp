// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_scope.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"

namespace mmusim::models {

using rmap::TlbOperation;
using rmap::VirtRange;

namespace {

constexpr std::string_view kX86 = "Intel SDM vol. 3, 4.10.4.1";
constexpr std::string_view kVmx = "Intel SDM vol. 3, 28.4.3.1";
constexpr std::string_view kArm = "Arm ARM DDI 0487, D8.16.5";
constexpr std::string_view kRiscv = "RISC-V privileged, SFENCE.VMA";
constexpr std::string_view kRiscvGuest = "RISC-V privileged, HFENCE.VVMA and HFENCE.GVMA";

std::vector<TlbInstruction> make_instructions() {
    using R = TlbInstruction::Reach;
    using K = TlbOperation::Kind;
    constexpr R kNo = R::kNothing;
    return {
        // Of the paging-structure caches INVLPG drops everything of the PCID.
        {K::kInvlpg, "INVLPG", kX86, R::kPageOfSpaceOrGlobal, R::kSpace, kNo},
        {K::kInvpcidAddress, "INVPCID type 0", kX86, R::kPageOfSpace, R::kPageOfSpace, kNo},
        {K::kInvpcidContext, "INVPCID type 1", kX86, R::kSpace, R::kSpace, kNo},
        {K::kAll, "INVPCID type 2", kX86, R::kEverything, R::kEverything, kNo},
        {K::kInvpcidAllNonGlobal, "INVPCID type 3", kX86, R::kNonGlobal, R::kEverything, kNo},
        {K::kCr3Write, "MOV to CR3", kX86, R::kSpace, R::kSpace, kNo},
        {K::kCr3WriteNoFlush, "MOV to CR3 with bit 63", kX86, kNo, kNo, kNo},

        {K::kInvept, "INVEPT type 1", kVmx, R::kEverything, R::kEverything, R::kEverything},
        {K::kInveptAll, "INVEPT type 2", kVmx, R::kEveryGuest, R::kEveryGuest, R::kEveryGuest},
        {K::kInvvpidAddress, "INVVPID type 0", kVmx, R::kPage, R::kPage, kNo},
        {K::kInvvpidContext, "INVVPID type 1", kVmx, R::kEverything, R::kEverything, kNo},
        {K::kInvvpidAll, "INVVPID type 2", kVmx, R::kEveryGuest, R::kEveryGuest, kNo},
        {K::kInvvpidNonGlobal, "INVVPID type 3", kVmx, R::kNonGlobal, R::kEverything, kNo},

        {K::kTlbiVae1, "TLBI VAE1", kArm, R::kPageOfSpaceOrGlobal, R::kPageOfSpaceOrGlobal, kNo},
        {K::kTlbiVale1, "TLBI VALE1", kArm, R::kPageOfSpaceOrGlobal, kNo, kNo},
        {K::kTlbiVaae1, "TLBI VAAE1", kArm, R::kPage, R::kPage, kNo},
        {K::kTlbiVaale1, "TLBI VAALE1", kArm, R::kPage, kNo, kNo},
        {K::kTlbiRvae1, "TLBI RVAE1", kArm, R::kPageOfSpaceOrGlobal, R::kPageOfSpaceOrGlobal, kNo},
        {K::kTlbiRvale1, "TLBI RVALE1", kArm, R::kPageOfSpaceOrGlobal, kNo, kNo},
        {K::kTlbiAside1, "TLBI ASIDE1", kArm, R::kSpace, R::kSpace, kNo},
        {K::kTlbiVmalle1, "TLBI VMALLE1", kArm, R::kEverything, R::kEverything, kNo},
        {K::kTlbiIpas2e1, "TLBI IPAS2E1", kArm, kNo, kNo, R::kGuestPage},
        {K::kTlbiVmalls12e1, "TLBI VMALLS12E1", kArm, R::kEverything, R::kEverything,
         R::kEverything},
        {K::kTlbiAlle1, "TLBI ALLE1", kArm, R::kEveryGuest, R::kEveryGuest, R::kEveryGuest},

        {K::kSfenceVma, "SFENCE.VMA x0, x0", kRiscv, R::kEverything, R::kEverything, kNo},
        {K::kSfenceVmaAddress, "SFENCE.VMA rs1, x0", kRiscv, R::kPage, kNo, kNo},
        {K::kSfenceVmaAsid, "SFENCE.VMA x0, rs2", kRiscv, R::kSpace, R::kSpace, kNo},
        {K::kSfenceVmaAddressAsid, "SFENCE.VMA rs1, rs2", kRiscv, R::kPageOfSpace, kNo, kNo},
        {K::kHfenceVvma, "HFENCE.VVMA x0, x0", kRiscvGuest, R::kEverything, R::kEverything, kNo},
        {K::kHfenceGvma, "HFENCE.GVMA x0, rs2", kRiscvGuest, R::kEverything, R::kEverything,
         R::kEverything},
        {K::kHfenceGvmaAll, "HFENCE.GVMA x0, x0", kRiscvGuest, R::kEveryGuest, R::kEveryGuest,
         R::kEveryGuest},
    };
}

std::optional<TlbScope> scope_for(TlbInstruction::Reach reach, const TlbOperation& operation) {
    using Reach = TlbInstruction::Reach;
    const auto first = rmap::page_start(operation.address);
    const VirtRange pages{first, first + operation.pages * rmap::kPageSize};
    TlbScope scope;
    scope.vm = operation.vm;
    scope.globals = true;
    switch (reach) {
        case Reach::kNothing:
            return std::nullopt;
        case Reach::kEverything:
            break;
        case Reach::kNonGlobal:
            scope.globals = false;
            break;
        case Reach::kSpace:
            scope.space = operation.pcid;
            scope.globals = false;
            break;
        case Reach::kPage:
            scope.range = pages;
            break;
        case Reach::kPageOfSpace:
            scope.range = pages;
            scope.space = operation.pcid;
            scope.globals = false;
            break;
        case Reach::kPageOfSpaceOrGlobal:
            scope.range = pages;
            scope.space = operation.pcid;
            break;
        case Reach::kGuestPage:
            scope.range = rmap::aligned_pages({operation.guest.value}, 0);
            break;
        case Reach::kEveryGuest:
            scope.vm.reset();
            break;
    }
    return scope;
}

}  // namespace

const std::vector<TlbInstruction>& tlb_instructions() {
    static const std::vector<TlbInstruction> instructions = make_instructions();
    return instructions;
}

TlbScopes scopes_of(const TlbOperation& operation) {
    const auto& rows = tlb_instructions();
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const auto& r) { return r.kind == operation.kind; });
    MMUSIM_CHECK(row != rows.end(), "every operation has a row");
    MMUSIM_CHECK(row->second_stage == TlbInstruction::Reach::kNothing ||
                     row->second_stage == TlbInstruction::Reach::kEveryGuest || operation.vm != 0,
                 "an operation on a second stage names a guest");
    return {scope_for(row->translations, operation), scope_for(row->tables, operation),
            scope_for(row->second_stage, operation)};
}

TlbScope scope_of(SpaceId pasid, const VirtRange& range, rmap::Instant at) {
    TlbScope scope;
    scope.space = pasid;
    scope.range = range;
    scope.read_until = at;
    return scope;
}

}  // namespace mmusim::models
