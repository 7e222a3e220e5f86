// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <set>
#include <string>

#include "platform/config/config_error.hpp"
#include "platform/sweep/process_pool.hpp"
#include "tests/support/temporary_folder.hpp"

namespace mmusim::test {
namespace {

using platform::PoolTask;

PoolTask shell(const std::string& script) { return {"sh", {"-c", script}}; }

/// A run of the pool, and what it told.
struct Pool {
    std::vector<std::optional<platform::Ending>> run(const std::vector<PoolTask>& tasks,
                                                     unsigned processes) {
        return platform::run_tasks(tasks, {processes, stop,
                                           [this](std::size_t done) {
                                               most = std::max(most, done);
                                               if (watch) watch();
                                           },
                                           [this](std::size_t task, pid_t process) {
                                               killed.insert(task);
                                               // Nobody is left of that name.
                                               still_there |= ::kill(process, 0) == 0;
                                           }});
    }

    std::atomic<bool> stop{false};
    std::function<void()> watch;
    std::size_t most = 0;
    std::set<std::size_t> killed;
    bool still_there = false;
};

TEST_CASE("process pool: endings have the order of the tasks", "[unit][sweep]") {
    for (const unsigned processes : {1u, 2u, 8u}) {
        Pool pool;
        const auto endings =
            pool.run({shell("sleep 0.05; exit 3"), shell("exit 0"),
                      shell("echo one >&2; echo two >&2; exit 2"), shell("kill -KILL $$")},
                     processes);
        REQUIRE(endings.size() == 4);
        CHECK(endings[0]->code == 3);
        CHECK(endings[1]->code == 0);
        CHECK(endings[2]->code == 2);
        CHECK(endings[2]->last_line() == "two");
        CHECK(endings[3]->code == 128 + SIGKILL);
        CHECK(endings[3]->last_line() == "ended by signal 9");
        CHECK(endings[0]->last_line() == "exit code 3");
        CHECK(pool.most == 4);
        CHECK(pool.killed.empty());
    }
}

TEST_CASE("process pool: no more processes at a time than asked for", "[unit][sweep]") {
    const TemporaryFolder folder;
    const std::string running = folder.path("running");
    // Each task holds a file of its own for a while and notes how many there are.
    const std::string script = "mkdir -p " + running + "; touch " + running + "/$$; ls " + running +
                               " | wc -l >> " + folder.path("counts") + "; sleep 0.05; rm " +
                               running + "/$$";
    Pool pool;
    pool.run(std::vector<PoolTask>(8, shell(script)), 2);
    const std::string counts = folder.read("counts");
    CHECK(std::count(counts.begin(), counts.end(), '\n') == 8);
    CHECK(counts.find('2') != std::string::npos);
    CHECK(counts.find_first_of("3456789") == std::string::npos);
}

TEST_CASE("process pool: a stop kills what runs and starts nothing more", "[unit][sweep]") {
    const TemporaryFolder folder;
    Pool pool;
    pool.watch = [&] {
        if (std::filesystem::exists(folder.path("begun"))) pool.stop = true;
    };
    const auto begin = std::chrono::steady_clock::now();
    const auto endings =
        pool.run({shell("exit 0"), shell("touch " + folder.path("begun") + "; exec sleep 60"),
                  shell("touch " + folder.path("third"))},
                 1);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
    CHECK(endings[0]);
    CHECK_FALSE(endings[1]);
    CHECK_FALSE(endings[2]);
    CHECK(pool.killed == std::set<std::size_t>{1});
    CHECK_FALSE(pool.still_there);
    CHECK_FALSE(std::filesystem::exists(folder.path("third")));
}

TEST_CASE("process pool: a program that is not there is a user error", "[unit][sweep]") {
    Pool pool;
    CHECK_THROWS_WITH(pool.run({{"/no/such/program", {}}}, 1),
                      "cannot start '/no/such/program': No such file or directory");
}

TEST_CASE("process pool: of long error output the end is kept", "[unit][sweep]") {
    Pool pool;
    const auto endings =
        pool.run({shell("i=0; while [ $i -lt 4000 ]; do echo 0123456789012345678901234567890; "
                        "i=$((i + 1)); done >&2; echo last >&2")},
                 1);
    CHECK(endings[0]->code == 0);
    CHECK(endings[0]->last_line() == "last");
    CHECK(endings[0]->errors.size() == 1 << 16);
}

}  // namespace
}  // namespace mmusim::test
