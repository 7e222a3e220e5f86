// SPDX-License-Identifier: Apache-2.0
#include "rmap/sync/lock.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "rmap/types/check.hpp"
#include "tests/support/plain_machine.hpp"
#include "tests/support/print_types.hpp"

using namespace mmusim::rmap;
using mmusim::test::PlainMachine;

namespace {

struct Bench {
    explicit Bench(unsigned cpus) : machine(cpus) {}

    Cpu& cpu(CpuId id) { return machine.cpu(id); }
    const PartTimes& charged(CpuId id) { return machine.time(id).charged(); }
    Duration access() { return machine.plain_costs().memory_access; }

    /// What happens while CPU `id` waits. Its place in the queue is fixed by then.
    template <class F>
    void while_waiting(CpuId id, F&& action) {
        machine.time(id).while_waiting = std::forward<F>(action);
    }

    PlainMachine machine;
    PhysAddr word = machine.allocate_line();
};

}  // namespace

TEST_CASE("lock: taking and dropping a free lock costs its line and nothing else", "[unit][sync]") {
    Bench bench(1);
    Lock lock(bench.word);
    lock.lock(bench.cpu(0));
    CHECK(lock.held_by(bench.cpu(0)));
    lock.unlock(bench.cpu(0));
    CHECK_FALSE(lock.held_by(bench.cpu(0)));
    CHECK(bench.charged(0)[Part::kLock] == bench.access() * 2);
    CHECK(bench.charged(0).sum() == bench.access() * 2);
}

TEST_CASE("lock: a waiter waits until the release and then for the hand-over", "[unit][sync]") {
    Bench bench(2);
    Lock lock(bench.word);
    lock.lock(bench.cpu(0));
    const Duration held = nanoseconds(1000);
    const Instant asked = bench.cpu(1).now() + bench.access();
    Instant released;
    bench.while_waiting(1, [&] {
        bench.cpu(0).spend(held, Part::kRmapWalk);
        lock.unlock(bench.cpu(0));
        released = bench.cpu(0).now();
    });
    lock.lock(bench.cpu(1));

    CHECK(lock.held_by(bench.cpu(1)));
    CHECK(bench.charged(1)[Part::kLock] == bench.access());
    CHECK(bench.charged(1)[Part::kLockWait] == released - asked);
    CHECK(bench.charged(1)[Part::kLockHandover] == bench.machine.costs().lock_handover);
    CHECK(bench.charged(1).sum() == bench.cpu(1).now() - Instant{});
}

TEST_CASE("lock: waiters get it in the order in which they asked", "[unit][sync]") {
    Bench bench(4);
    Lock lock(bench.word);
    std::vector<CpuId> owners;
    const auto pass_on = [&](CpuId owner) {
        REQUIRE(lock.held_by(bench.cpu(owner)));
        owners.push_back(owner);
        lock.unlock(bench.cpu(owner));
    };
    lock.lock(bench.cpu(0));
    // 2, 1 and 3 ask in this order, each while the one before is waiting.
    bench.while_waiting(2, [&] { lock.lock(bench.cpu(1)); });
    bench.while_waiting(1, [&] { lock.lock(bench.cpu(3)); });
    bench.while_waiting(3, [&] {
        for (const CpuId owner : {0, 2, 1}) pass_on(owner);
    });
    lock.lock(bench.cpu(2));
    pass_on(3);
    CHECK(owners == std::vector<CpuId>{0, 2, 1, 3});
    CHECK(lock.try_lock(bench.cpu(0)));
}

TEST_CASE("lock: a try fails while somebody holds it and never waits", "[unit][sync]") {
    Bench bench(2);
    Lock lock(bench.word);
    CHECK(lock.try_lock(bench.cpu(0)));
    CHECK_FALSE(lock.try_lock(bench.cpu(1)));
    CHECK(bench.charged(1).sum() == bench.access());
    lock.unlock(bench.cpu(0));
    CHECK(lock.try_lock(bench.cpu(1)));
}

TEST_CASE("lock: only its holder may drop it", "[unit][sync]") {
    Bench bench(2);
    Lock lock(bench.word);
    CHECK_THROWS_AS(lock.unlock(bench.cpu(0)), InvariantError);
    lock.lock(bench.cpu(0));
    CHECK_THROWS_AS(lock.unlock(bench.cpu(1)), InvariantError);
}

TEST_CASE("semaphore: readers share and a writer is alone", "[unit][sync]") {
    Bench bench(3);
    RwLock semaphore(bench.word);
    semaphore.lock_read(bench.cpu(0));
    CHECK(semaphore.try_lock_read(bench.cpu(1)));
    semaphore.unlock_read(bench.cpu(0));

    bool alone = false;
    bench.while_waiting(2, [&] {
        semaphore.unlock_read(bench.cpu(1));
        alone = !semaphore.try_lock_read(bench.cpu(0));
    });
    semaphore.lock_write(bench.cpu(2));
    CHECK(alone);
    CHECK(bench.charged(2)[Part::kLockHandover] == bench.machine.costs().lock_handover);
    semaphore.unlock_write(bench.cpu(2));
    CHECK(semaphore.try_lock_read(bench.cpu(0)));
}

TEST_CASE("semaphore: a waiting writer keeps later readers out", "[unit][sync]") {
    Bench bench(3);
    RwLock semaphore(bench.word);
    semaphore.lock_read(bench.cpu(0));
    bench.while_waiting(1, [&] {
        CHECK_FALSE(semaphore.try_lock_read(bench.cpu(2)));
        semaphore.unlock_read(bench.cpu(0));
    });
    semaphore.lock_write(bench.cpu(1));
    CHECK_FALSE(semaphore.try_lock_read(bench.cpu(2)));
}

TEST_CASE("semaphore: a writer that leaves lets all waiting readers in together", "[unit][sync]") {
    Bench bench(3);
    RwLock semaphore(bench.word);
    semaphore.lock_write(bench.cpu(0));
    Instant released;
    bench.while_waiting(1, [&] { semaphore.lock_read(bench.cpu(2)); });
    bench.while_waiting(2, [&] {
        bench.cpu(0).spend(nanoseconds(1000), Part::kRmapWalk);
        semaphore.unlock_write(bench.cpu(0));
        released = bench.cpu(0).now();
    });
    semaphore.lock_read(bench.cpu(1));
    for (const CpuId reader : {1, 2})
        CHECK(bench.cpu(reader).now() == released + bench.machine.costs().lock_handover);
}

TEST_CASE("semaphore: a writer that becomes a reader lets waiting readers in", "[unit][sync]") {
    Bench bench(4);
    RwLock semaphore(bench.word);
    semaphore.lock_write(bench.cpu(0));
    Instant released;
    bench.while_waiting(1, [&] {
        semaphore.downgrade_write(bench.cpu(0));
        released = bench.cpu(0).now();
    });
    semaphore.lock_read(bench.cpu(1));
    CHECK(bench.cpu(1).now() == released + bench.machine.costs().lock_handover);
    CHECK(semaphore.try_lock_read(bench.cpu(2)));
    // It still holds the semaphore, so a writer waits for all three.
    unsigned left = 0;
    bench.while_waiting(3, [&] {
        for (const CpuId reader : {0, 1, 2}) {
            semaphore.unlock_read(bench.cpu(reader));
            ++left;
        }
    });
    semaphore.lock_write(bench.cpu(3));
    CHECK(left == 3);
}

TEST_CASE("semaphore: a writer that becomes a reader keeps a waiting writer in its place",
          "[unit][sync]") {
    Bench bench(3);
    RwLock semaphore(bench.word);
    semaphore.lock_write(bench.cpu(0));
    bool reader_got_in = true;
    bench.while_waiting(1, [&] {
        semaphore.downgrade_write(bench.cpu(0));
        reader_got_in = semaphore.try_lock_read(bench.cpu(2));
        semaphore.unlock_read(bench.cpu(0));
    });
    semaphore.lock_write(bench.cpu(1));
    CHECK_FALSE(reader_got_in);
    semaphore.unlock_write(bench.cpu(1));
    CHECK_THROWS_AS(semaphore.downgrade_write(bench.cpu(1)), InvariantError);
}

TEST_CASE("semaphore: releasing a free one breaks an invariant", "[unit][sync]") {
    Bench bench(1);
    RwLock semaphore(bench.word);
    CHECK_THROWS_AS(semaphore.unlock_read(bench.cpu(0)), InvariantError);
}
