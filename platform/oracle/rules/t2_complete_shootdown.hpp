// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "platform/oracle/monitor.hpp"
#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// T2, as far as events show it: when flush_tlb_others returns, every CPU of its mask that is not
/// lazy has run the flush function for this very request to its end. Judges CPUs 0 to 63, and only
/// streams that show which CPUs were lazy.
class CompleteShootdownMonitor final : public Monitor {
public:
    explicit CompleteShootdownMonitor(Vocabulary vocabulary)
        : judges_(shows(vocabulary, rmap::Event::kTlbIsNotLazy)) {}
    std::vector<rmap::Event> events() const override;
    void on_record(const rmap::EventRecord& record, Findings& findings) override;

private:
    using Request = std::array<std::uint64_t, 4>;  ///< mm, start, end, generation
    struct Round {
        Request request{};
        std::uint64_t targets = 0;
        std::uint64_t began = 0;  ///< targets that have begun to serve it
        rmap::Instant time;
    };

    void begin_function(rmap::ActorId cpu, const Request& request);
    void judge_return(const rmap::EventRecord& record, Findings& findings);

    const bool judges_;
    std::map<rmap::ActorId, Round> rounds_;               ///< by initiator
    std::map<rmap::ActorId, Request> running_;            ///< by CPU: inside flush_tlb_func
    std::map<rmap::ActorId, rmap::EventRecord> cleared_;  ///< by initiator: its latest clear
    std::map<rmap::ActorId, std::uint64_t> asked_lazy_;   ///< by initiator: the CPU in question
};

}  // namespace mmusim::platform
