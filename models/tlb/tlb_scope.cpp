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
    constexpr auto kAllTables = TlbScope::Tables::kAll;
    constexpr auto kNoTables = TlbScope::Tables::kKept;
    constexpr auto kTables = TlbScope::Tables::kOfRange;
    constexpr auto kSecond = TlbScope::Stages::kSecond;
    constexpr auto kBoth = TlbScope::Stages::kBoth;
    return {
        {K::kInvlpg, "INVLPG", kX86, R::kPageOfSpaceOrGlobal, kAllTables},
        {K::kInvpcidAddress, "INVPCID type 0", kX86, R::kPageOfSpace},
        {K::kInvpcidContext, "INVPCID type 1", kX86, R::kSpace},
        {K::kAll, "INVPCID type 2", kX86, R::kEverything},
        {K::kInvpcidAllNonGlobal, "INVPCID type 3", kX86, R::kNonGlobal},
        {K::kCr3Write, "MOV to CR3", kX86, R::kSpace},
        {K::kCr3WriteNoFlush, "MOV to CR3 with bit 63", kX86, R::kNothing},

        {K::kInvept, "INVEPT type 1", kVmx, R::kEverything, kTables, kBoth},
        {K::kInveptAll, "INVEPT type 2", kVmx, R::kEveryGuest, kTables, kBoth},
        {K::kInvvpidAddress, "INVVPID type 0", kVmx, R::kPage},
        {K::kInvvpidContext, "INVVPID type 1", kVmx, R::kEverything},
        {K::kInvvpidAll, "INVVPID type 2", kVmx, R::kEveryGuest},
        {K::kInvvpidNonGlobal, "INVVPID type 3", kVmx, R::kNonGlobal},

        {K::kTlbiVae1, "TLBI VAE1", kArm, R::kPageOfSpaceOrGlobal},
        {K::kTlbiVale1, "TLBI VALE1", kArm, R::kPageOfSpaceOrGlobal, kNoTables},
        {K::kTlbiVaae1, "TLBI VAAE1", kArm, R::kPage},
        {K::kTlbiVaale1, "TLBI VAALE1", kArm, R::kPage, kNoTables},
        {K::kTlbiRvae1, "TLBI RVAE1", kArm, R::kPageOfSpaceOrGlobal},
        {K::kTlbiRvale1, "TLBI RVALE1", kArm, R::kPageOfSpaceOrGlobal, kNoTables},
        {K::kTlbiAside1, "TLBI ASIDE1", kArm, R::kSpace},
        {K::kTlbiVmalle1, "TLBI VMALLE1", kArm, R::kEverything},
        {K::kTlbiIpas2e1, "TLBI IPAS2E1", kArm, R::kGuestPage, kTables, kSecond},
        {K::kTlbiVmalls12e1, "TLBI VMALLS12E1", kArm, R::kEverything, kTables, kBoth},
        {K::kTlbiAlle1, "TLBI ALLE1", kArm, R::kEveryGuest, kTables, kBoth},

        {K::kSfenceVma, "SFENCE.VMA x0, x0", kRiscv, R::kEverything},
        {K::kSfenceVmaAddress, "SFENCE.VMA rs1, x0", kRiscv, R::kPage, kNoTables},
        {K::kSfenceVmaAsid, "SFENCE.VMA x0, rs2", kRiscv, R::kSpace},
        {K::kSfenceVmaAddressAsid, "SFENCE.VMA rs1, rs2", kRiscv, R::kPageOfSpace, kNoTables},
        {K::kHfenceVvma, "HFENCE.VVMA x0, x0", kRiscvGuest, R::kEverything},
        {K::kHfenceGvma, "HFENCE.GVMA x0, rs2", kRiscvGuest, R::kEverything, kTables, kBoth},
        {K::kHfenceGvmaAll, "HFENCE.GVMA x0, x0", kRiscvGuest, R::kEveryGuest, kTables, kBoth},
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

std::optional<TlbScope> scope_of(const TlbOperation& operation) {
    const auto& rows = tlb_instructions();
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const auto& r) { return r.kind == operation.kind; });
    MMUSIM_CHECK(row != rows.end(), "every operation has a row");
    auto scope = scope_for(row->reach, operation);
    if (!scope) return scope;
    MMUSIM_CHECK(row->stages == TlbScope::Stages::kFirst || scope->vm != rmap::VmId{0},
                 "an operation on a second stage names a guest");
    scope->tables = row->tables;
    scope->stages = row->stages;
    return scope;
}

TlbScope TlbScope::of_second_stage() const {
    TlbScope second = *this;
    second.space.reset();
    if (stages == Stages::kBoth) second.range.reset();
    return second;
}

TlbScope scope_of(SpaceId pasid, const VirtRange& range, rmap::Instant at) {
    TlbScope scope;
    scope.space = pasid;
    scope.range = range;
    scope.read_until = at;
    return scope;
}

}  // namespace mmusim::models
