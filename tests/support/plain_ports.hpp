// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "rmap/ports/cpu.hpp"
#include "rmap/types/vtd.hpp"
#include "tests/support/recording_trace.hpp"

// The engine's ports for tests in one host thread: time adds up, memory is a map, and what goes
// out is recorded. Nothing here knows SystemC.

namespace mmusim::test {

/// Local time that adds up. Without foreign effects there is nothing to observe.
class PlainTime final : public rmap::TimePort {
public:
    PlainTime(rmap::ActorId actor, rmap::Accountant& account, rmap::Duration visibility)
        : account_(account), visibility_(visibility), actor_(actor) {}

    rmap::ActorId actor() const override { return actor_; }
    rmap::Instant local_now() const override { return now_; }
    void spend(rmap::Duration cost, rmap::Part part) override;
    void observe(rmap::Observed) override {}
    void sync_before_visible_action() override {}
    rmap::Interrupts set_interrupts(rmap::Interrupts state) override;
    /// The result must be known, or become known while the others run (see while_waiting).
    void await(rmap::Completion& result, rmap::Part part) override;
    void notify_completion() override {}
    rmap::Duration visibility() const override { return visibility_; }

    /// What the other CPUs do while this one waits for something that is not known yet.
    std::function<void()> while_waiting;

    /// Runs whenever interrupts are switched on that were off.
    std::function<void()> interrupts_on;

    /// Halted until `to`, if that is later than now.
    void idle_until(rmap::Instant to);
    rmap::Interrupts interrupts() const { return interrupts_; }
    /// Everything that was charged so far, whether or not an operation was open.
    const rmap::PartTimes& charged() const { return charged_; }

private:
    rmap::Accountant& account_;
    const rmap::Duration visibility_;
    const rmap::ActorId actor_;
    rmap::Instant now_;
    rmap::Interrupts interrupts_ = rmap::Interrupts::kOn;
    rmap::PartTimes charged_;
};

/// The memory itself, one for all CPUs of a machine. Words that nobody wrote are zero.
struct PlainWords {
    struct Access {
        enum class Kind { kLoad, kReadModifyWrite };
        rmap::ActorId actor = 0;
        Kind kind{};
        rmap::PhysAddr address{};
        rmap::Instant at;
    };

    rmap::Word& operator[](rmap::PhysAddr address) { return words[address]; }

    std::unordered_map<rmap::PhysAddr, rmap::Word> words;
    void note(const Access& access) {
        accesses.push_back(access);
        if (on_access) on_access(access);
    }

    std::vector<Access> accesses;                  ///< in the order in which they were made
    rmap::Duration access_cost;                    ///< of each access; may be changed at any time
    std::function<void(const Access&)> on_access;  ///< runs before the access takes effect
};

/// One CPU's view of the words.
class PlainMemory final : public rmap::PhysMemPort {
public:
    PlainMemory(PlainWords& words, rmap::TimePort& time) : words_(words), time_(time) {}

    rmap::Word load(rmap::PhysAddr address, rmap::Part part) override;
    rmap::Word read_modify_write(rmap::PhysAddr address, Apply apply, rmap::Part part) override;

private:
    PlainWords& words_;
    rmap::TimePort& time_;
};

/// Remembers what it was asked to invalidate; each operation costs the same.
class RecordingTlb final : public rmap::TlbPort {
public:
    RecordingTlb(rmap::TimePort& time, rmap::Duration cost) : time_(time), cost_(cost) {}

    void execute(const rmap::TlbOperation& operation, rmap::Part part) override;

    std::vector<rmap::TlbOperation> of_kind(rmap::TlbOperation::Kind kind) const;

    std::vector<rmap::TlbOperation> operations;
    std::function<void(const rmap::TlbOperation&)> on_execute;  ///< runs after the recording

private:
    rmap::TimePort& time_;
    const rmap::Duration cost_;
};

/// A remapping unit's invalidation queue: it remembers what it is given, and executes it as soon as
/// the tail is written, or when the test says so.
class PlainIommu {
public:
    explicit PlainIommu(PlainWords& words) : words_(words) {}

    struct TailWrite {
        rmap::ActorId actor = 0;
        std::uint64_t tail = 0;
        rmap::Instant at;  ///< when it left the core
    };

    /// The registers, from the driver. The head starts at the base.
    void set_queue(rmap::PhysAddr base, std::uint64_t bytes);

    /// Fetches and executes everything up to the last tail that was written, and completes what was
    /// waiting for it.
    void execute();

    /// Whether write_queue_tail executes; else the test calls execute().
    bool at_once = true;
    rmap::Duration tail_write;  ///< of the core
    // From the tail write on, until the descriptors' turn comes, they are executed, and the status
    // is visible. May be changed at any time.
    rmap::Duration queue;
    rmap::Duration invalidate;
    rmap::Duration write_back;

    std::vector<TailWrite> tail_writes;
    std::vector<rmap::QiDescriptor> executed;  ///< waits included
    std::function<void(const rmap::QiDescriptor&)> on_execute;

private:
    friend class RecordingIommu;

    struct Pending {
        rmap::Instant at;
        rmap::Completion* write_back;
    };

    PlainWords& words_;
    rmap::PhysAddr base_{};
    std::uint64_t bytes_ = 0;
    std::uint64_t head_ = 0;
    std::uint64_t tail_ = 0;
    std::vector<Pending> pending_;
};

/// One CPU's way to the unit's registers.
class RecordingIommu final : public rmap::IommuPort {
public:
    RecordingIommu(PlainIommu& unit, rmap::TimePort& time) : unit_(unit), time_(time) {}

    void write_queue_tail(std::uint64_t tail, rmap::Completion& write_back,
                          rmap::Part part) override;

private:
    PlainIommu& unit_;
    rmap::TimePort& time_;
};

/// Remembers the interrupts that were sent, and hands them to `deliver` if there is one.
class RecordingInterrupts final : public rmap::InterruptPort {
public:
    struct Sent {
        rmap::CpuMask targets;
        rmap::Vector vector = 0;
        rmap::Instant at;
        rmap::OperationId cause = 0;
    };

    RecordingInterrupts(rmap::TimePort& time, const rmap::Accountant& account, rmap::Duration cost)
        : time_(time), account_(account), cost_(cost) {}

    void send_ipi(const rmap::CpuMask& targets, rmap::Vector vector, rmap::Part part) override;

    std::vector<Sent> sent;
    std::function<void(const Sent&)> deliver;

private:
    rmap::TimePort& time_;
    const rmap::Accountant& account_;
    const rmap::Duration cost_;
};

}  // namespace mmusim::test
