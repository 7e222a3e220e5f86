// SPDX-License-Identifier: Apache-2.0
// What has to hold between the values of a machine and of a scenario.
#include <catch2/catch.hpp>

#include "tests/support/config_fixture.hpp"

namespace mmusim::test {
namespace {

TEST_CASE("machine rules: TLB arrays suit their index and their replacement", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"tlb.dtlb.array.small.entries=66"}) ==
          "--set:1:22: 'tlb.dtlb.array.small.entries' is 66; expected a multiple of the 4 ways");
    CHECK_NOTHROW(fixture.load({"tlb.dtlb.array.small.entries=12"}));  // three sets
    CHECK(
        fixture.error({"tlb.stlb.array.shared.entries=36"}) ==
        "--set:1:23: 'tlb.stlb.array.shared.entries' is 36, in 12 ways 3 sets; expected a power of "
        "two of sets for index = \"xor-fold\"");
    CHECK(fixture.error({"tlb.stlb.array.shared.ways=6"}) ==
          "--set:1:23: 'tlb.stlb.array.shared.ways' is 6; expected a multiple of 4 for this "
          "replacement");
    CHECK(
        fixture.error({"tlb.dtlb.array.small.ways=128", "tlb.dtlb.array.small.entries=128"}) ==
        "--set:1:22: 'tlb.dtlb.array.small.ways' is 128; expected at most 64 for this replacement");
    CHECK(
        fixture.error({"tlb.dtlb.array.small.replacement=plru"}) ==
        "--set:1:34: 'tlb.dtlb.array.small.replacement' is 'plru', which is not known; nearest is "
        "'lru'");
}

TEST_CASE("machine rules: data and fetch are served once at level 1 and at most once below",
          "[unit][config]") {
    ConfigFixture fixture;
    const std::string file = "parts/skylake-core.toml";
    for (const std::string serves : {"[\"fetch\", \"data\"]", "[\"data\"]"})
        CHECK(fixture.error({"tlb.itlb.serves=" + serves}) ==
              file +
                  ":27:1: 'tlb.dtlb.serves' has 'data' in it, which 'tlb.itlb' serves at level "
                  "1, too; expected one for each");
    CHECK(fixture.error({"tlb.dtlb.level=2"}) ==
          file +
              ":55:1: 'tlb.stlb.serves' has 'data' in it, which 'tlb.dtlb' serves at level 2, "
              "too; expected one for each");
    CHECK(fixture.error({"tlb.dtlb.level=2", "tlb.stlb.level=3"}) ==
          file +
              ":6:1: no TLB of level 1 serves 'data'; expected one [tlb.NAME] with level = 1 "
              "and serves = [\"data\"]");
    CHECK(fixture.error({"tlb.stlb.level=3"}) ==
          "--set:1:10: 'tlb.stlb.level' is 3, and no TLB has level 2; expected levels without a "
          "gap");
    CHECK(fixture.error({"tlb.stlb.level=0"}) ==
          "--set:1:16: 'tlb.stlb.level' is 0; expected a whole number from 1 to 8 (1: next to the "
          "core)");
    CHECK(fixture.error({"tlb.itlb.serves=[\"fetches\"]"}) ==
          "--set:1:18: 'tlb.itlb.serves' has 'fetches' in it, which is not known; nearest is "
          "'fetch'");
    CHECK_NOTHROW(fixture.load({"tlb.stlb.serves=[\"data\"]"}));  // a fetch walks after the ITLB
}

TEST_CASE("machine rules: below a TLB that serves both there is none that serves one",
          "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.platform_error("[tlb.third]\n"
                                 "from = \"assumed: a test\"\n"
                                 "level = 3\n"
                                 "serves = [\"data\"]\n"
                                 "lookup = { cycles = 9, from = \"assumed: a test\" }\n"
                                 "fill = { cycles = 1, from = \"assumed: a test\" }\n") ==
          "p.toml:5:1: 'tlb.third.serves' is one of data and fetch, below 'tlb.stlb' that serves "
          "both; expected both");
}

TEST_CASE("machine rules: what a level is to those above is said of a lower one only",
          "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"tlb.dtlb.inclusion=inclusive"}) ==
          "--set:1:10: 'tlb.dtlb.inclusion' is set, and no level is above level 1; expected "
          "neither");
    CHECK_NOTHROW(fixture.load({"tlb.stlb.inclusion=exclusive"}));
    CHECK(fixture.load().platform.mmu.tlbs[2].live_spaces == 4);
}

TEST_CASE("machine rules: each page size has one array of a level", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(
        fixture.error({"tlb.dtlb.array.large.pages=[\"2M\", \"4K\"]"}) ==
        "--set:1:22: 'tlb.dtlb.array.large.pages' has a size that 'tlb.dtlb.array.small' has, too; "
        "expected one array for each size");
    CHECK(
        fixture.error({"tlb.dtlb.array.large.pages=[]"}) ==
        "--set:1:28: 'tlb.dtlb.array.large.pages' is empty; expected one or more of 4K, 16K, 64K, "
        "2M, 32M, 512M, 1G, 16G");
    CHECK(fixture.error({"tlb.dtlb.array.large.pages=[\"3M\"]"}) ==
          "--set:1:29: 'tlb.dtlb.array.large.pages' has '3M' in it, which is not known; nearest is "
          "'2M'");
}

TEST_CASE("machine rules: distances are a metric", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"topology.hops=[[0,1],[2,0]]"}) ==
          "--set:1:10: 'topology.hops': 0 to 1 is 1 steps but 1 to 0 is 2; expected a symmetric "
          "matrix");
    CHECK(fixture.error({"topology.hops=[[1,1],[1,0]]"}) ==
          "--set:1:10: 'topology.hops': socket 0 is 1 steps from itself; expected 0");
    CHECK(fixture.error({"topology.hops=[[0,0],[0,0]]"}) ==
          "--set:1:10: 'topology.hops': sockets 0 and 1 are 0 steps apart; expected 1 or more");
    CHECK(fixture.error({"topology.sockets=3", "topology.hops=[[0,1,3],[1,0,1],[3,1,0]]"}) ==
          "--set:2:10: 'topology.hops': 0 to 2 is 3 steps but 2 by way of 1; expected no detour to "
          "be shorter");
    CHECK(
        fixture.error({"topology.hops=[[0,1]]"}) ==
        "--set:1:15: 'topology.hops' is an array; expected 2 rows of 2 whole numbers from 0 to 16 "
        "(steps between sockets)");
}

TEST_CASE("machine rules: at most as many cores as a CPU mask holds", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"topology.sockets=64", "topology.cores_per_socket=28"}) ==
          "--set:2:10: 64 sockets of 28 cores are 1792 cores; expected at "
          "most 1024");
}

TEST_CASE("machine rules: nothing overtakes the stores that it announces", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"coherence.same_socket.ns=0.001"}) ==
          "--set:1:23: 'coherence.same_socket' is 0.001 ns; expected 0.002 ns or more: stores are "
          "visible after half of it");
    CHECK(fixture.error({"kernel.costs.lock_handover.ns=23.999"}) ==
          "--set:1:28: 'kernel.costs.lock_handover' is 23.999 ns; expected 24 ns or more: the next "
          "owner would not see the last one's stores (half of coherence.same_socket)");
    CHECK(
        fixture.error({"interrupt.to_fabric.ns=1", "interrupt.delivery.ns=22.999"}) ==
        "--set:2:20: 'interrupt.delivery' with 'interrupt.to_fabric' is 23.999 ns; expected 24 ns "
        "or more: an interrupt would overtake the store that it announces (half of "
        "coherence.same_socket)");
    CHECK_NOTHROW(fixture.load({"kernel.costs.lock_handover.ns=24"}));
    CHECK_NOTHROW(fixture.load({"interrupt.to_fabric.ns=1", "interrupt.delivery.ns=23"}));
}

TEST_CASE("machine rules: an IOMMU and its devices fit the machine", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"iommu.socket=2"}) ==
          "--set:1:7: 'iommu.socket' is 2; the machine has sockets 0 to 1");
    CHECK(fixture.error({"iommu.queue_entries=200"}) ==
          "--set:1:7: 'iommu.queue_entries' is 200; expected a power of two");
    CHECK(fixture.error({"iommu.queue_entries=512"}) ==
          "--set:1:21: 'iommu.queue_entries' is 512; expected a whole number from 4 to 256 "
          "(descriptors of the invalidation queue)");
    CHECK(fixture.error({"iommu.iotlb.fill.ns=0"}) ==
          "--set:1:18: 'iommu.iotlb.fill' is 0 ns; expected more: what is filled in takes effect "
          "later than the walk");
    CHECK(fixture.error({"iommu.walk_cache.entries=65"}) ==
          "--set:1:18: 'iommu.walk_cache.entries' is 65; expected a multiple of the 4 ways");
    CHECK(fixture.error({"iommu.pasid_cache.entries=65"}) ==
          "--set:1:19: 'iommu.pasid_cache.entries' is 65; expected a multiple of the 4 ways");
    CHECK_NOTHROW(fixture.load({"iommu.walk_cache.entries=0", "iommu.pasid_cache.entries=0"}));
    CHECK(fixture.error({"iommu.queue_lines=24"}) ==
          "--set:1:7: 'iommu.queue_lines' is 24; expected a power of two");
    CHECK(fixture.error({"iommu.doorbell.ns=23"}) ==
          "--set:1:16: 'iommu.doorbell' is 23 ns; expected 24 ns or more: it would overtake the "
          "store that it announces (half of coherence.same_socket)");
    CHECK(fixture.error({"device.nic0.link.ns=23"}) ==
          "--set:1:18: 'device.nic0.link' is 23 ns; expected 24 ns or more: it would overtake the "
          "store that it announces (half of coherence.same_socket)");
    CHECK(fixture.error({"device.nic0.socket=2"}) ==
          "--set:1:13: 'device.nic0.socket' is 2; the machine has sockets 0 to 1");
}

TEST_CASE("machine rules: a device is behind an IOMMU and has a source of its own",
          "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.platform_error(device_section("nic1", 15104)) ==
          "p.toml:4:1: devices 'nic0' and 'nic1' both are source 15104; expected a source of its "
          "own for each");
    fixture.platform_file = fixture.platform(device_section("nic1", 15105));
    CHECK_NOTHROW(fixture.load());
    fixture.platform_file =
        fixture.folder().write("p.toml", "extends = \"" + shipped("platforms/capture-vm") + "\"\n" +
                                             device_section("nic1", 15104));
    CHECK(fixture.error() ==
          "p.toml:4:1: device 'nic1' is behind an IOMMU; expected a section [iommu]");
}

TEST_CASE("scenario rules: a guest has a VM whose CPUs are free", "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = shipped("scenarios/guest-reclaim");
    CHECK_NOTHROW(fixture.load());
    CHECK(fixture.error({"guest.main.vm=gest"}) ==
          "--set:1:12: no VM is called 'gest'; nearest is 'guest'");
    CHECK(fixture.error({"guest.main.process=mian"}) ==
          "--set:1:12: no process is called 'mian'; nearest is 'main'");
    CHECK(fixture.error({"process.main.count=2"}) ==
          "scenarios/guest-reclaim.toml:29:1: 'guest.main' uses the memory of process 'main', of "
          "which there are 2; expected one");
    CHECK(fixture.error({"vm.guest.first_cpu=54"}) ==
          "scenarios/guest-reclaim.toml:28:1: guest 'main' needs CPUs 54 to 57 for the vCPUs of VM "
          "'guest'; platform 'skylake-sp-2s' has CPUs 0 to 55");
    // One vCPU too many, and the last place for all four.
    CHECK(fixture.error({"vm.guest.first_cpu=53"}) ==
          "scenarios/guest-reclaim.toml:28:1: guest 'main' needs CPUs 53 to 56 for the vCPUs of VM "
          "'guest'; platform 'skylake-sp-2s' has CPUs 0 to 55");
    CHECK_NOTHROW(fixture.load({"vm.guest.first_cpu=52"}));
    CHECK(fixture.error({"process.main.first_cpu=8", "process.main.threads=1"}) ==
          "scenarios/guest-reclaim.toml:28:1: guest 'main' has a vCPU on CPU 8, where process "
          "'main' has a running thread; expected one of them (see vm.guest.first_cpu)");
    CHECK(fixture.error({"operation.reclaim.cpu=9"}) ==
          "--set:1:19: CPU 9 of operation 'reclaim' has a vCPU of process 'main'; expected a free "
          "CPU, or a running thread of 'main'");
    CHECK(fixture.error({"guest.main.halted=true", "operation.reclaim.type=munmap",
                         "process.main.threads=1"}) ==
          "--set:1:12: guest 'main' halts after its first touch; expected one operation only, and "
          "no munmap");
    CHECK_NOTHROW(fixture.load({"guest.main.halted=true"}));
    CHECK_NOTHROW(fixture.load({"guest.main.vm=none", "guest.main.enabled=false"}));
    CHECK(fixture.scenario_error(
              "[guest.a]\nvm = \"guest\"\nprocess = \"main\"\n"
              "access.ns = 20\n[guest.b]\nvm = \"guest\"\nprocess = \"main\"\naccess.ns = 20\n") ==
          "s.toml:7:1: 'guest.a' and 'guest.b' both use vm 'guest'; expected one of them");
}

TEST_CASE("scenario rules: a halted guest has one operation", "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = fixture.folder().write(
        "s.toml", "extends = \"" + shipped("scenarios/guest-reclaim") +
                      "\"\n[operation.more]\ntype = \"reclaim\"\nregion = \"hot\"\ncpu = 1\n");
    CHECK_NOTHROW(fixture.load());
    CHECK(fixture.error({"guest.main.halted=true"}) ==
          "--set:1:12: guest 'main' halts after its first touch; expected one operation only, and "
          "no munmap");
}

TEST_CASE("scenario rules: a device has one stream", "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = shipped("scenarios/svm-munmap");
    CHECK_NOTHROW(fixture.load());
    CHECK(fixture.error({"dma.nic0.device=nic"}) ==
          "--set:1:10: no device is called 'nic'; nearest is 'nic0'");
    fixture.platform_file = shipped("platforms/capture-vm");
    CHECK(fixture.error() ==
          "scenarios/svm-munmap.toml:31:1: no device is called 'nic0'; there are none");
    fixture.platform_file = shipped("platforms/skylake-sp-2s");
    CHECK(
        fixture.scenario_error("[dma.a]\ndevice = \"nic0\"\nprocess = \"main\"\n"
                               "gap.ns = 9\nfault_pause.ns = 9\n[dma.b]\ndevice = "
                               "\"nic0\"\nprocess = \"main\"\ngap.ns = 9\nfault_pause.ns = 9\n") ==
        "s.toml:8:1: 'dma.a' and 'dma.b' both use device 'nic0'; expected one of them");
}

TEST_CASE("scenario rules: every thread has its own CPU of the machine", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(
        fixture.error({"process.main.threads=56"}) ==
        "--set:1:14: process 'main' needs CPUs 1 to 56; platform 'skylake-sp-2s' has CPUs 0 to 55");
    CHECK_NOTHROW(fixture.load({"process.main.threads=55"}));
    CHECK(fixture.error({"process.main.first_cpu=60"}) ==
          "--set:1:14: process 'main' needs CPUs 60 to 62; platform 'skylake-sp-2s' has CPUs 0 to "
          "55");
    CHECK(
        fixture.scenario_error("[process.other]\nfirst_cpu = 3\naccess = { ns = 1 }\n") ==
        "s.toml:3:1: processes 'main' and 'other' both have a thread on CPU 3; expected one thread "
        "per CPU");
    CHECK(
        fixture.scenario_error("[process.other]\nfirst_cpu = 0\nthreads = 0\nlazy_threads = 2\n"
                               "access = { ns = 1 }\n") ==
        "s.toml:3:1: processes 'main' and 'other' both have a thread on CPU 1; expected one thread "
        "per CPU");
    CHECK_NOTHROW(fixture.load_files(
        fixture.platform_file,
        fixture.scenario("[process.other]\nthreads = 0\naccess = { ns = 1 }\n")));
}

TEST_CASE("scenario rules: an operation has a CPU where it can run", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"operation.reclaim.cpu=56"}) ==
          "--set:1:19: operation 'reclaim' runs on CPU 56; platform 'skylake-sp-2s' has CPUs 0 to "
          "55");
    CHECK_NOTHROW(fixture.load({"operation.reclaim.cpu=1"}));
    CHECK(fixture.error({"operation.reclaim.cpu=1", "process.main.threads=0",
                         "process.main.lazy_threads=3"}) ==
          "--set:1:19: CPU 1 of operation 'reclaim' has a sleeping thread of process 'main'; "
          "expected a free CPU, or a running thread of 'main'");
    fixture.scenario_file =
        fixture.scenario("[process.other]\nfirst_cpu = 9\naccess = { ns = 1 }\n");
    CHECK(fixture.error({"operation.reclaim.cpu=9"}) ==
          "--set:1:19: CPU 9 of operation 'reclaim' has a running thread of process 'other'; "
          "expected a free CPU, or a running thread of 'main'");
    fixture.scenario_file = shipped("scenarios/munmap");
    CHECK(fixture.error({"operation.munmap.cpu=9"}) ==
          "--set:1:18: operation 'munmap' runs on CPU 9, where no thread of process 'main' runs; "
          "expected one that does, since munmap is its own call");
}

TEST_CASE("scenario rules: a region is unmapped by one operation and not without end",
          "[unit][config]") {
    ConfigFixture fixture;
    const std::string munmap = "type = \"munmap\"\nregion = \"hot\"\ncpu = 1\n";
    CHECK(fixture.scenario_error("[operation.gone]\n" + munmap + "rounds = 10001\n") ==
          "s.toml:6:1: operation 'gone' unmaps 10001 buffers; expected at most 10000");
    CHECK(fixture.scenario_error("[operation.gone]\n" + munmap + "[operation.late]\n" + munmap) ==
          "s.toml:8:1: operations 'gone' and 'late' both unmap region 'hot'; expected one of them");
}

TEST_CASE("scenario rules: pages and nodes that exist", "[unit][config]") {
    ConfigFixture fixture;
    CHECK(fixture.error({"region.heap.pages=512", "operation.reclaim.pages=513"}) ==
          "--set:2:19: operation 'reclaim' takes 513 pages per round; region 'heap' has 512");
    CHECK(fixture.error({"operation.reclaim.to_node=1"}) ==
          "--set:1:19: operation 'reclaim' does not use 'to_node'; expected it only with type = "
          "\"move_pages\"");
    CHECK(
        fixture.error({"operation.reclaim.type=oom_reap", "operation.reclaim.pages=5"}) ==
        "--set:2:19: operation 'reclaim' does not use 'pages'; expected it only with other types: "
        "a process is reaped as a whole");
    CHECK(fixture.error({"region.heap.pages=16777216"}) ==
          "--set:1:13: the regions up to 'heap' need 16777216 pages; platform 'skylake-sp-2s' has "
          "2097152");
    CHECK(
        fixture.error({"region.heap.kind=file", "region.heap.sharing=fork"}) ==
        "--set:2:13: region 'heap' maps a file, which is not forked; expected kind = \"anon\" with "
        "sharing = \"fork\"");
    fixture.platform_file = shipped("platforms/laptop");
    fixture.scenario_file = shipped("scenarios/migrate");
    CHECK(fixture.error({"operation.migrate.to_node=2"}) ==
          "--set:1:19: operation 'migrate' moves pages to node 2; platform 'laptop' has nodes 0 to "
          "0");
}

TEST_CASE("scenario rules: a process calls for its own memory only", "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = shipped("scenarios/munmap");
    for (const std::string type :
         {"madvise_dontneed", "madvise_free", "mlock", "munlock", "fork", "mprotect"})
        CHECK(fixture.error({"operation.munmap.type=" + type, "operation.munmap.cpu=9",
                             "process.main.write_percent=0"}) ==
              "--set:2:18: operation 'munmap' runs on CPU 9, where no thread of process 'main' "
              "runs; expected one that does, since " +
                  type + " is its own call");
    for (const std::string type : {"clear_refs", "punch_hole"})
        CHECK_NOTHROW(fixture.load({"operation.munmap.type=" + type, "operation.munmap.cpu=9",
                                    "region.buffer.kind=shmem"}));
}

TEST_CASE("scenario rules: operations have the kind of memory that they are for",
          "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = shipped("scenarios/munmap");
    const auto error = [&](const std::string& type, const std::string& kind) {
        return fixture.error({"operation.munmap.type=" + type, "region.buffer.kind=" + kind});
    };
    CHECK_THAT(error("madvise_free", "file"),
               Catch::EndsWith(":25:1: operation 'munmap' gives away region 'buffer', which maps a "
                               "file; expected one of kind \"anon\""));
    CHECK_THAT(
        error("fsync", "shmem"),
        Catch::EndsWith(":25:1: operation 'munmap' writes back region 'buffer', which maps no "
                        "file on a disk; expected one of kind \"file\""));
    CHECK_THAT(
        error("punch_hole", "anon"),
        Catch::EndsWith(":25:1: operation 'munmap' punches a hole into region 'buffer', which "
                        "maps no file; expected one of kind \"file\" or \"shmem\""));
    CHECK(fixture.error({"operation.munmap.type=fork", "operation.munmap.pages=5"}) ==
          "--set:2:18: operation 'munmap' does not use 'pages'; expected it only with other types: "
          "a process is copied as a whole");
    CHECK(fixture.error({"operation.munmap.type=fork", "operation.munmap.rounds=1001"}) ==
          "--set:2:18: operation 'munmap' forks 1001 times; expected at most 1000");
}

TEST_CASE("scenario rules: nobody writes to what mprotect makes read-only", "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = shipped("scenarios/mprotect");
    CHECK_THAT(
        fixture.error({"process.main.write_percent=1"}),
        Catch::EndsWith(":25:1: operation 'mprotect' makes region 'heap' read-only, to which "
                        "process 'main' writes; expected a region with in_use = false, or "
                        "process.main.write_percent = 0"));
    CHECK_NOTHROW(fixture.load({"process.main.write_percent=1", "region.heap.in_use=false"}));
    CHECK_NOTHROW(fixture.load({"process.main.write_percent=1", "process.main.pattern=idle"}));
}

TEST_CASE("scenario rules: a scenario does something", "[unit][config]") {
    ConfigFixture fixture;
    fixture.scenario_file = fixture.folder().write("s.toml", "[scenario]\nname = \"idle\"\n");
    CHECK(fixture.error() ==
          "s.toml:2:1: scenario 'idle' does nothing; expected at least one [operation.NAME]");
}

}  // namespace
}  // namespace mmusim::test
