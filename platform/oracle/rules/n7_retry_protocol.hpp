// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "platform/oracle/bounded_map.hpp"
#include "platform/oracle/monitor.hpp"
#include "platform/oracle/rules/client_counts.hpp"
#include "rmap/types/address.hpp"

namespace mmusim::platform {

/// N7: a client that makes a second-stage entry has, on that CPU and in this order, read its
/// sequence, resolved the page through the CPU's tables, and found its count of open sections 0 and
/// the sequence unchanged; it installs the page that it has resolved. Counts and sequences are
/// those of kClientCount. Storing an entry again that is there already and maps the same page (a
/// change of its bits) is not a new entry.
class RetryProtocolMonitor final : public Monitor {
public:
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using CpuClient = std::pair<rmap::ActorId, std::uint64_t>;
    using Place = std::tuple<std::uint64_t, rmap::MmId, rmap::PageNumber>;  ///< first: client
    struct Attempt {
        rmap::MmId mm = 0;
        rmap::PageNumber page{};
        std::uint64_t sequence = 0;
        rmap::Instant read;                     ///< of the sequence
        std::optional<std::uint64_t> resolved;  ///< the pfn
    };

    void resolve(const rmap::EventRecord& record);
    void judge_set(const rmap::EventRecord& record, Findings& findings);
    std::string missing(const rmap::EventRecord& record, const Attempt* attempt);

    std::map<CpuClient, Attempt> attempts_;
    ClientCounts clients_;
    BoundedMap<Place, std::uint64_t> present_;  ///< pfn of the entries that are there
};

}  // namespace mmusim::platform
