// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "rmap/types/ids.hpp"
#include "rmap/types/part.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::rmap {

/// Operations nest: call > batch > page.
enum class OperationKind : unsigned char {
    kReclaim,         ///< call: one pass of the reclaimer over its list
    kShrinkPageList,  ///< batch: one list of pages
    kUnmap,           ///< page: entry of try_to_unmap until the page is safe to reuse
    kMovePages,       ///< call: migration
    kMunmap,          ///< call
    kPageFault,       ///< call
    kOomReap,         ///< call: one attempt of the OOM reaper
    kMlock,           ///< call
    kMunlock,         ///< call
    kPageIdle,        ///< call: reading or writing the bitmap of idle pages
    kFsync,           ///< call: fsync or msync
    kTruncate,        ///< call
    kFallocate,       ///< call: punching a hole
    kMmap,            ///< call
    kMprotect,        ///< call
    kMremap,          ///< call
    kMadvise,         ///< call
    kClearRefs,       ///< call: a write to /proc/PID/clear_refs
    kFork,            ///< call: dup_mm()
    kExit,            ///< call: the last task leaves an mm
};
inline constexpr std::size_t kOperationKinds = 20;

/// The name in results and logs.
std::string_view name(OperationKind kind);

enum class Outcome : unsigned char { kDone, kAbandoned };

/// A finished operation. The parts add up to end - begin exactly.
struct OperationResult {
    OperationId id = 0;
    OperationKind kind{};
    Outcome outcome{};
    std::uint64_t pages = 0;
    Instant begin;
    Instant end;
    PartTimes parts;
};

/// Divides the time of one CPU among its operations. Every step of the CPU's local time is charged
/// exactly once; an operation is the difference of two readings, so the cost does not grow with
/// the number of operations that are open.
class Accountant {
public:
    explicit Accountant(ActorId actor) : actor_(actor) {}
    Accountant(const Accountant&) = delete;
    Accountant& operator=(const Accountant&) = delete;

    /// Charged by the TimePort for every step of local time.
    void charge(Part part, Duration duration) {
        (*charged_)[interrupted_ ? Part::kInterrupted : part] += duration;
    }

    /// The innermost operation: inside a handler, the one that caused the interrupt.
    OperationId current() const { return current_; }

    OperationId begin(OperationKind kind, Instant now);

    /// Around all work on one page of a batch, whether or not it has an operation yet: for the
    /// lingering operations of the other pages this is Part::kBatchWait.
    void begin_page() {
        ++active_pages_;
        charged_ = &page_;
    }
    void end_page() {
        if (--active_pages_ == 0) charged_ = &shared_;
    }

    /// A page operation stops being worked on but goes on in time: its page waits for the rest of
    /// the batch. What is done for the whole batch keeps its part; work on other pages becomes
    /// Part::kBatchWait. `id` must be the innermost operation.
    void linger(OperationId id);

    /// Ends an innermost or a lingering operation.
    void end(OperationId id, Instant now, Outcome outcome, std::uint64_t pages = 1);

    /// Around an interrupt handler: the time goes to Part::kInterrupted of whatever was running.
    void enter_interrupt(OperationId cause) {
        interrupt_causes_.push_back(cause);
        update_current();
    }
    void leave_interrupt() {
        interrupt_causes_.pop_back();
        update_current();
    }

    const std::vector<OperationResult>& finished() const { return finished_; }

private:
    struct Open {
        OperationId id = 0;
        OperationKind kind{};
        Instant begin;
        PartTimes page;    ///< readings at begin, or at linger
        PartTimes shared;  ///< likewise
        PartTimes parts;   ///< collected before linger
        bool lingering = false;
    };

    static bool is_page(OperationKind kind) { return kind == OperationKind::kUnmap; }
    Open take(OperationId id);
    void update_current() {
        interrupted_ = !interrupt_causes_.empty();
        current_ = interrupted_ ? interrupt_causes_.back() : open_.empty() ? 0 : open_.back().id;
    }

    const ActorId actor_;
    std::uint64_t count_ = 0;
    unsigned active_pages_ = 0;
    std::vector<OperationId> interrupt_causes_;  ///< of the handlers that are running
    PartTimes page_;                             ///< time of work on one page
    PartTimes shared_;                           ///< all other time
    // What every step of time and every access ask for:
    PartTimes* charged_ = &shared_;  ///< one of these two
    bool interrupted_ = false;       ///< a handler is running
    OperationId current_ = 0;
    std::vector<Open> open_;
    std::vector<Open> lingering_;
    std::vector<OperationResult> finished_;
};

}  // namespace mmusim::rmap
