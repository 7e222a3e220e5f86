// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>

#include "rmap/ports/cpu.hpp"

namespace mmusim::rmap {

/// A mutual-exclusion lock: spinlock, page lock or mutex alike. Its queue is the order in which
/// the requests are serialised on the line of its word, so a hand-over is first come, first
/// served. An acquire by another CPU is later than the release by at least the memory lookahead;
/// therefore plain data guarded by the lock needs nothing else.
class Lock {
public:
    /// `word` is its own eight bytes in simulated memory.
    explicit Lock(PhysAddr word) : word_(word) {}

    /// Time passes: Part::kLock for the line, kLockWait and kLockHandover when queued.
    void lock(Cpu& cpu);
    bool try_lock(Cpu& cpu);
    void unlock(Cpu& cpu);
    /// Waits until the holder unlocks it, if there is one, without taking it.
    void wait_unlocked(Cpu& cpu);

    bool held_by(const Cpu& cpu) const { return holder_ == cpu.id(); }
    PhysAddr word() const { return word_; }

private:
    struct Waiter {
        ActorId actor;
        Completion* granted;
    };

    PhysAddr word_;
    std::deque<Completion*> watchers_;  ///< they want it unlocked, not theirs
    ActorId holder_ = kNoActor;
    std::deque<Waiter> waiters_;
};

/// A reader-writer semaphore (struct rw_semaphore): readers share, the queue is first come, first
/// served, and a waiting writer keeps later readers out.
class RwLock {
public:
    explicit RwLock(PhysAddr word) : word_(word) {}

    void lock_read(Cpu& cpu) { acquire(cpu, Mode::kRead); }
    bool try_lock_read(Cpu& cpu);
    void unlock_read(Cpu& cpu) { release(cpu); }
    void lock_write(Cpu& cpu) { acquire(cpu, Mode::kWrite); }
    void unlock_write(Cpu& cpu) { release(cpu); }
    /// downgrade_write(): the writer goes on as a reader, together with the readers at the head of
    /// the queue.
    void downgrade_write(Cpu& cpu);

    PhysAddr word() const { return word_; }

private:
    enum class Mode { kRead, kWrite };
    struct Waiter {
        Mode mode;
        Completion* granted;
    };

    bool admits(Mode mode) const {
        return waiters_.empty() && !writer_ && (mode == Mode::kRead || readers_ == 0);
    }
    void admit(Mode mode) { mode == Mode::kRead ? void(++readers_) : void(writer_ = true); }
    void acquire(Cpu& cpu, Mode mode);
    void release(Cpu& cpu);
    void admit_waiters(Instant released, Duration handover);
    Word state() const { return {(writer_ ? 1ull : 0ull) | std::uint64_t{readers_} << 1, 0}; }

    PhysAddr word_;
    unsigned readers_ = 0;
    bool writer_ = false;
    std::deque<Waiter> waiters_;
};

}  // namespace mmusim::rmap
