// SPDX-License-Identifier: Apache-2.0
#include "models/tlb/tlb_scope.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::models {

std::optional<TlbScope> scope_of(const rmap::TlbOperation& operation) {
    using Kind = rmap::TlbOperation::Kind;
    TlbScope scope;
    switch (operation.kind) {
        case Kind::kInvlpg:
        case Kind::kInvpcidAddress:
            scope.space = operation.pcid;
            scope.range = rmap::aligned_pages(operation.address, 0);
            scope.globals = operation.kind == Kind::kInvlpg;
            if (operation.kind == Kind::kInvlpg) scope.tables = TlbScope::Tables::kAll;
            return scope;
        case Kind::kCr3Write:
            scope.space = operation.pcid;
            return scope;
        case Kind::kCr3WriteNoFlush:
            return std::nullopt;
        case Kind::kAll:
            scope.globals = true;
            return scope;
        case Kind::kInvept:
            MMUSIM_CHECK(operation.vm != 0, "INVEPT names a guest");
            scope.vm = operation.vm;
            scope.globals = true;
            scope.stages = TlbScope::Stages::kBoth;
            return scope;
    }
    return std::nullopt;
}

TlbScope scope_of(SpaceId pasid, const rmap::VirtRange& range, rmap::Instant at) {
    TlbScope scope;
    scope.space = pasid;
    scope.range = range;
    scope.read_until = at;
    return scope;
}

}  // namespace mmusim::models
