// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "notifiers/notifier_client.hpp"
#include "rmap/ports/line_allocator.hpp"
#include "rmap/sync/lock.hpp"

namespace mmusim::notifiers {

/// The smallest client with a shadow: it records which pages were accessed through it and forgets
/// them as the notifiers say, with KVM's counters (virt/kvm/kvm_main.c: mmu_notifier_count and
/// mmu_notifier_seq). Everything is guarded by its lock; time passes for that lock only.
class RecordingClient final : public NotifierClient {
public:
    enum class Op : unsigned char {
        kRelease,
        kClearFlushYoung,
        kStart,
        kEnd,
        kInvalidateRange,
        kClearYoung,
        kChangePte
    };
    static constexpr std::size_t kOps = 7;

    struct Call {
        Op op{};
        rmap::MmId mm = 0;
        rmap::VirtRange range{};
        rmap::Instant at;  ///< when the client had its lock
    };
    enum class Keep : unsigned char { kCounts, kCalls };
    struct Config {
        std::string name = "recording";
        std::uint64_t id = 0;  ///< argument `client` of the events
        NotifierOps ops{true, true, true, true, true, true, true};
        Keep keep = Keep::kCounts;
        /// Has to sleep before it can let go, as i915's userptr objects do
        /// (i915_gem_userptr.c:userptr_mn_invalidate_range_start, v5.0): refuses a range that is
        /// not blockable if a page in it is recorded, and then neither counts nor forgets.
        bool needs_sleep = false;
    };
    enum class Recorded : unsigned char { kYes, kRetry };

    RecordingClient(const Config& config, rmap::LineAllocator& lines)
        : config_(config), lock_(lines.allocate_line()) {}

    std::string_view name() const override { return config_.name; }
    NotifierOps ops() const override { return config_.ops; }
    void release(rmap::Cpu& cpu, rmap::MmId mm) override;
    StartResult invalidate_range_start(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    /// An end that has no start raises the sequence and leaves the count at 0: only an injected
    /// fault sends one, and the rule monitors judge it.
    void invalidate_range_end(rmap::Cpu& cpu, const rmap::NotifierRange& range) override;
    void invalidate_range(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    bool clear_flush_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    bool clear_young(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtRange range) override;
    /// Raises the sequence, as KVM does, and forgets the page.
    void change_pte(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtAddr address, rmap::Pte pte,
                    rmap::Generation generation) override;

    /// The sequence that record_access needs. Taken before the page is looked up in the primary
    /// tables.
    std::uint64_t sequence(rmap::Cpu& cpu, rmap::MmId mm);

    /// Records an access to the page of `address`, unless a section is open or ended since
    /// `sequence` was taken: then the page must be looked up again (rule N7).
    Recorded record_access(rmap::Cpu& cpu, rmap::MmId mm, rmap::VirtAddr address,
                           std::uint64_t sequence);

    /// For reports and tests, after the run.
    std::uint64_t count(Op op) const { return counts_[static_cast<std::size_t>(op)]; }
    const std::vector<Call>& calls() const { return calls_; }  ///< empty with Keep::kCounts
    std::uint64_t refused_starts() const { return refused_starts_; }
    std::uint64_t active_sections(rmap::MmId mm) const { return shadow(mm).active; }
    std::size_t recorded_pages(rmap::MmId mm) const { return shadow(mm).young.size(); }

private:
    struct Shadow {
        std::uint64_t active = 0;
        std::uint64_t sequence = 0;
        bool released = false;
        std::map<rmap::PageNumber, bool> young;  ///< recorded pages; accessed since the last aging
    };

    const Shadow& shadow(rmap::MmId mm) const;
    void note(const rmap::Cpu& cpu, Op op, rmap::MmId mm, rmap::VirtRange range);
    bool must_refuse(const Shadow& shadow, const rmap::NotifierRange& range) const;
    void forget(Shadow& shadow, rmap::VirtRange range);
    bool age(rmap::Cpu& cpu, Op op, rmap::MmId mm, rmap::VirtRange range);
    void emit_count(rmap::Cpu& cpu, rmap::MmId mm, const Shadow& shadow);

    const Config config_;
    rmap::Lock lock_;
    std::map<rmap::MmId, Shadow> shadows_;
    std::array<std::uint64_t, kOps> counts_{};
    std::uint64_t refused_starts_ = 0;
    std::vector<Call> calls_;
};

}  // namespace mmusim::notifiers
