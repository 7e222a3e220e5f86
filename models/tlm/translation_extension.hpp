// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <tlm>

#include "models/tlm/translation.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/part.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::models {

class DataCache;
class ThreadTime;

/// Side-band of one translation request; the payload's address is the virtual address.
///   operation   in   that caused the access
///   access      in   written by who asks: a core, or a walker of an IOMMU
///   pcid, root  in   CR3: the core's or, of a guest, the guest's own, with a root in its memory
///   vm          in   the guest whose virtual address it is; 0 = none, and no second stage
///   ept_root    in   root of the second stage; used with `vm` only
///   time, cache in   its local time and lines: a walk reads memory in its name
///   part        in   what the time of a walk's reads goes to
///   known_table in   the page table, from a paging-structure cache: the walk is of its entry only
///   ask_all_levels in a hit is passed on to the TLB levels below as well, and what they answer is
///                    ignored: for those who count what a cache hierarchy would see
///   missed_levels out bit n - 1: a TLB of level n was asked and missed; the initiator clears it
///   translation out  written by whoever answers; meaningful only without a fault
///   fault       out  kNone unless the walk ended in a fault
///   violation   out  meaningful only with kSecondStage
///   page_table  out  written by the walker: the page table that it went through, if it did
class TranslationExtension final : public tlm::tlm_extension<TranslationExtension> {
public:
    // What every access uses comes first. `vm` is not next to `pcid`: read as one word right after
    // they were written as two, they would stall the host's processor.
    rmap::OperationId operation = 0;
    rmap::Access access{};
    bool ask_all_levels = false;
    rmap::Pcid pcid = 0;
    rmap::PhysAddr root{};
    ThreadTime* time = nullptr;
    DataCache* cache = nullptr;
    std::uint32_t missed_levels = 0;
    Translation translation;
    rmap::Fault fault = rmap::Fault::kNone;
    rmap::Part part = rmap::Part::kUser;
    rmap::VmId vm = 0;
    rmap::PhysAddr ept_root{};
    SecondStageViolation violation;
    std::optional<WalkedTable> known_table;
    std::optional<WalkedTable> page_table;

    tlm::tlm_extension_base* clone() const override { return new TranslationExtension(*this); }
    void copy_from(const tlm::tlm_extension_base& other) override {
        *this = static_cast<const TranslationExtension&>(other);
    }
};

/// Side-band of one invalidation instruction, from a core to its own MMU.
///   cause       in   the operation that demands it
///   operation   in   what is invalidated
///   invalidated out  entries dropped, added up by the levels
class MaintenanceExtension final : public tlm::tlm_extension<MaintenanceExtension> {
public:
    rmap::OperationId cause = 0;
    rmap::TlbOperation operation;
    std::uint64_t invalidated = 0;

    tlm::tlm_extension_base* clone() const override { return new MaintenanceExtension(*this); }
    void copy_from(const tlm::tlm_extension_base& other) override {
        *this = static_cast<const MaintenanceExtension&>(other);
    }
};

}  // namespace mmusim::models
