// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/notified_mms.hpp"
#include "platform/oracle/vocabulary.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N19: in an mm with notifiers, clearing the CPU's accessed bit is followed by clear_flush_young
/// of that address while the page table is still locked, whatever the bit was; the page counts as
/// used if either says so. Where the stream does not show the lock, the next step of the walk tells
/// that it was dropped.
///
/// What counted is seen in try_to_unmap_one, which keeps a used page and returns 0, and in
/// page_referenced, which counts the VMAs that had a used entry, those that only clients have used
/// included. Not so a VMA that is read in sequence (VM_SEQ_READ): no event tells of it, and no
/// scenario has one. The count is not judged in captures, where there may be such VMAs, and where
/// PG_young counts too.
class SecondaryAgingMonitor final : public Monitor {
public:
    explicit SecondaryAgingMonitor(Vocabulary vocabulary)
        : counts_all_(vocabulary == Vocabulary::kSimulation) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    /// One entry whose accessed bit is tested.
    struct Entry {
        rmap::EventRecord record;  ///< ptep_clear_flush_young
        bool cleared = false;      ///< ... has returned
        bool asked = false;        ///< the clients, since
        bool asked_early = false;  ///< ... before
    };
    struct Cpu {
        std::optional<Entry> entry;
        std::optional<rmap::EventRecord> early;  ///< clear_flush_young without an entry before it
        bool asking = false;                     ///< its answer belongs to the entry
        bool used = false;                       ///< an entry of this visit, by either answer
        bool asked = false;                      ///< the clients, in this visit
        std::uint64_t visits = 0;                ///< of this page_referenced
        std::uint64_t used_visits = 0;
        bool asked_visits = false;
    };

    void test(const rmap::EventRecord& record, Cpu& cpu, Findings& findings);
    void ask(const rmap::EventRecord& record, Cpu& cpu);
    void leave(const rmap::EventRecord& record, Cpu& cpu, Findings& findings);
    void judge_unmap(const rmap::EventRecord& record, const Cpu& cpu, Findings& findings);
    void judge_count(const rmap::EventRecord& record, const Cpu& cpu, Findings& findings);

    const bool counts_all_;
    NotifiedMms mms_;
    std::map<rmap::ActorId, Cpu> cpus_;
};

}  // namespace mmusim::platform
