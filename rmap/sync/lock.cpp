// SPDX-License-Identifier: Apache-2.0
#include "rmap/sync/lock.hpp"

#include "rmap/types/check.hpp"
#include "rmap/types/time_rule.hpp"

namespace mmusim::rmap {

namespace {

/// The release is serialised at `released`; the next owner goes on a hand-over later, when it
/// sees everything that was written under the lock.
void grant(Completion& granted, Instant released, Duration handover) {
    granted.stage(Part::kLockWait, released);
    granted.complete(released + handover);
}

Duration handover_of(Cpu& cpu) {
    const Duration handover = cpu.costs().lock_handover;
    MMUSIM_CHECK(handover >= cpu.time().visibility(),
                 "a lock may not overtake what was written under it");
    return handover;
}

}  // namespace

void Lock::lock(Cpu& cpu) {
    Completion granted(cpu.time());
    bool mine = false;
    const auto request = [&] {
        mine = holder_ == kNoActor;
        if (mine)
            holder_ = cpu.id();
        else
            waiters_.push_back({cpu.id(), &granted});
    };
    if (broken(TimeRule::kLockOrder)) request();
    cpu.memory().read_modify_write(
        word_,
        [&](Word, Instant) {
            if (!broken(TimeRule::kLockOrder)) request();
            return Word{1, 0};
        },
        Part::kLock);
    if (!mine) cpu.time().await(granted, Part::kLockHandover);
}

bool Lock::try_lock(Cpu& cpu) {
    bool mine = false;
    cpu.memory().read_modify_write(
        word_,
        [&](Word old, Instant) {
            mine = holder_ == kNoActor;
            if (!mine) return old;
            holder_ = cpu.id();
            return Word{1, 0};
        },
        Part::kLock);
    return mine;
}

void Lock::unlock(Cpu& cpu) {
    MMUSIM_CHECK(held_by(cpu), "a lock is dropped by its holder");
    const Duration handover = handover_of(cpu);
    cpu.memory().read_modify_write(
        word_,
        [&](Word, Instant released) {
            for (Completion* watcher : watchers_) grant(*watcher, released, handover);
            watchers_.clear();
            if (waiters_.empty()) {
                holder_ = kNoActor;
                return Word{0, 0};
            }
            const Waiter next = waiters_.front();
            waiters_.pop_front();
            holder_ = next.actor;
            grant(*next.granted, released, handover);
            return Word{1, 0};
        },
        Part::kLock);
}

void Lock::wait_unlocked(Cpu& cpu) {
    Completion unlocked(cpu.time());
    bool free = false;
    cpu.memory().read_modify_write(
        word_,
        [&](Word old, Instant) {
            free = holder_ == kNoActor;
            if (!free) watchers_.push_back(&unlocked);
            return old;
        },
        Part::kLock);
    if (!free) cpu.time().await(unlocked, Part::kLockHandover);
}

void RwLock::acquire(Cpu& cpu, Mode mode) {
    Completion granted(cpu.time());
    bool mine = false;
    cpu.memory().read_modify_write(
        word_,
        [&](Word, Instant) {
            mine = admits(mode);
            if (mine)
                admit(mode);
            else
                waiters_.push_back({mode, &granted});
            return state();
        },
        Part::kLock);
    if (!mine) cpu.time().await(granted, Part::kLockHandover);
}

bool RwLock::try_lock_read(Cpu& cpu) {
    bool mine = false;
    cpu.memory().read_modify_write(
        word_,
        [&](Word, Instant) {
            mine = admits(Mode::kRead);
            if (mine) admit(Mode::kRead);
            return state();
        },
        Part::kLock);
    return mine;
}

void RwLock::release(Cpu& cpu) {
    const Duration handover = handover_of(cpu);
    cpu.memory().read_modify_write(
        word_,
        [&](Word, Instant released) {
            MMUSIM_CHECK(writer_ || readers_ > 0, "a semaphore is released by a holder");
            if (writer_)
                writer_ = false;
            else
                --readers_;
            admit_waiters(released, handover);
            return state();
        },
        Part::kLock);
}

void RwLock::downgrade_write(Cpu& cpu) {
    const Duration handover = handover_of(cpu);
    cpu.memory().read_modify_write(
        word_,
        [&](Word, Instant released) {
            MMUSIM_CHECK(writer_, "a semaphore is downgraded by its writer");
            writer_ = false;
            admit(Mode::kRead);
            admit_waiters(released, handover);
            return state();
        },
        Part::kLock);
}

/// The head of the queue, as far as it is compatible with those who hold the semaphore.
void RwLock::admit_waiters(Instant released, Duration handover) {
    while (!waiters_.empty()) {
        const Waiter next = waiters_.front();
        if (writer_ || (next.mode == Mode::kWrite && readers_ > 0)) break;
        waiters_.pop_front();
        admit(next.mode);
        grant(*next.granted, released, handover);
    }
}

}  // namespace mmusim::rmap
