// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "rmap/types/time.hpp"

namespace mmusim::models {

/// What a cache line costs, by where it is. A transfer between sockets costs `same_socket` plus
/// `hop` per step of the distance matrix; a DRAM read likewise from `dram`.
struct CoherenceLatency {
    rmap::Duration l1{};           ///< load hit in the own L1
    rmap::Duration l2{};           ///< load hit in the own L2
    rmap::Duration llc{};          ///< own socket's last level, line not modified elsewhere
    rmap::Duration same_socket{};  ///< line modified by another core of the socket
    rmap::Duration hop{};          ///< added per step between sockets
    rmap::Duration dram{};         ///< memory of the own socket
    rmap::Duration locked{};       ///< locked instruction on a line already owned
    rmap::Duration service{};      ///< least distance of two operations on one line
};

struct CacheCapacity {
    unsigned l1_lines = 0;
    unsigned l2_lines = 0;
};

/// Where cores, other actors and memory are. Everything is indexed by socket (= NUMA node).
struct Topology {
    unsigned sockets = 1;
    unsigned cores_per_socket = 1;
    std::vector<std::vector<unsigned>> hops;  ///< steps between sockets, 0 on the diagonal
    std::uint64_t frames_per_node = 0;        ///< 4 KiB frames; node n starts at n * this
    std::vector<unsigned> agent_sockets;      ///< of the actors after the cores, in their order

    unsigned cores() const { return sockets * cores_per_socket; }
    unsigned socket_of(unsigned actor) const {
        return actor < cores() ? actor / cores_per_socket : agent_sockets[actor - cores()];
    }
    unsigned hops_between(unsigned actor_a, unsigned actor_b) const {
        return hops[socket_of(actor_a)][socket_of(actor_b)];
    }
    unsigned node_of_frame(std::uint64_t frame) const {
        return static_cast<unsigned>(frame / frames_per_node);
    }
};

struct MemoryConfig {
    CoherenceLatency latency;
    CacheCapacity cache;

    /// C: a store is visible to everybody else this long after it was serialised. Half of the
    /// cheapest transfer, since a transfer is a request and an answer.
    rmap::Duration visibility() const { return {latency.same_socket.ps / 2}; }
};

}  // namespace mmusim::models
