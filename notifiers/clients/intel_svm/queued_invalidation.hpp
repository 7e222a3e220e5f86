// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>

#include "rmap/ports/cpu.hpp"
#include "rmap/ports/frame_allocator.hpp"
#include "rmap/sync/lock.hpp"
#include "rmap/types/injected_fault.hpp"
#include "rmap/types/vtd.hpp"

namespace mmusim::notifiers {

/// The driver's side of the invalidation queue of one remapping unit (drivers/iommu/dmar.c, v5.0:
/// struct q_inval): a ring of descriptors in simulated memory that the hardware fetches, and a
/// status word per slot, which it sets when a wait descriptor is complete.
///
/// Descriptors are plain stores, visible to others C after they were serialised; the tail register
/// is written behind them. The unit fetches when that write arrives, so its way to the unit must
/// take C or longer. The configuration guarantees it: `doorbell` of the IOMMU is at least C.
/// Does not model: faults of the queue (qi_check_fault: IQE, ICE, ITE).
class QueuedInvalidation {
public:
    /// enum { QI_FREE, QI_IN_USE, QI_DONE } of a status word. The hardware writes kDone.
    enum class Status : std::uint32_t { kFree = 0, kInUse = 1, kDone = 2 };

    struct Config {
        std::uint64_t entries = 256;  ///< QI_LENGTH: a power of two from 4 to what a frame holds
        rmap::InjectedFault fault = rmap::InjectedFault::kNone;
    };

    /// Set-up: takes two frames and a line.
    QueuedInvalidation(const Config& config, rmap::FrameAllocator& frames);

    /// What the unit's queue address register gets: base, and size in bytes. The head starts at 0.
    rmap::PhysAddr queue() const { return queue_; }
    std::uint64_t queue_bytes() const { return config_.entries * rmap::QiDescriptor::kBytes; }

    /// qi_submit_sync(): submits the descriptor and a wait descriptor, and returns when the unit
    /// has completed both. Interrupts are off throughout, but for a moment between two attempts to
    /// find room in a full queue. Any CPU of a machine with the unit, under any lock but q_lock.
    /// Time passes: Part::kIommuSubmit, the lock's parts, the stages of the unit's answer, and
    /// Part::kIommuWait for what is left of it.
    void qi_submit_sync(rmap::Cpu& cpu, const rmap::QiDescriptor& descriptor);

private:
    rmap::PhysAddr status_word(std::uint64_t slot) const { return desc_status_ + 8 * slot; }
    std::uint64_t slot_after(std::uint64_t slot) const { return (slot + 1) % config_.entries; }
    bool waits() const { return config_.fault != rmap::InjectedFault::kSkipIommuWait; }

    bool has_room(rmap::Cpu& cpu);
    void submit_locked(rmap::Cpu& cpu, const rmap::QiDescriptor& descriptor);
    void write_descriptor(rmap::Cpu& cpu, std::uint64_t slot, const rmap::QiDescriptor& descriptor);
    Status status(rmap::Cpu& cpu, std::uint64_t slot, rmap::Part part);
    void set_status(rmap::Cpu& cpu, std::uint64_t slot, Status status);
    void reclaim_free_desc(rmap::Cpu& cpu);
    void reclaim_unawaited(rmap::Cpu& cpu);
    rmap::Completion& unawaited(rmap::Cpu& cpu);

    const Config config_;
    const rmap::PhysAddr queue_;
    const rmap::PhysAddr desc_status_;  ///< a word per slot
    rmap::Lock q_lock_;

    // q_lock.
    std::uint64_t free_head_ = 0;  ///< next slot to use
    std::uint64_t free_tail_ = 0;  ///< oldest slot in use
    std::uint64_t free_cnt_;
    std::uint64_t sequence_ = 0;               ///< submissions so far
    std::list<rmap::Completion> unawaited_{};  ///< InjectedFault::kSkipIommuWait
};

}  // namespace mmusim::notifiers
