// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <tlm>

#include "models/tlm/translation.hpp"
#include "rmap/types/access.hpp"
#include "rmap/types/tlb_operation.hpp"

namespace mmusim::models {

class DataCache;
class ThreadTime;

/// Side-band of one translation request; the payload's address is the virtual address.
///   operation   in   that caused the access
///   access      in   written by the core
///   pcid, root  in   the core's CR3
///   time, cache in   the core's local time and lines: a walk reads memory in its name
///   known_table in   the page table, from a paging-structure cache: the walk is of its entry only
///   translation out  written by whoever answers; meaningful only without a fault
///   fault       out  kNone unless the walk ended in a fault
///   page_table  out  written by the walker: the page table that it went through, if it did
class TranslationExtension final : public tlm::tlm_extension<TranslationExtension> {
public:
    rmap::OperationId operation = 0;
    rmap::Access access{};
    rmap::Pcid pcid = 0;
    rmap::PhysAddr root{};
    ThreadTime* time = nullptr;
    DataCache* cache = nullptr;
    std::optional<WalkedTable> known_table;
    Translation translation;
    rmap::Fault fault = rmap::Fault::kNone;
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
