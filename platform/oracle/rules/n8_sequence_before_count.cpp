// SPDX-License-Identifier: Apache-2.0
#include "platform/oracle/rules/n8_sequence_before_count.hpp"

#include <fmt/format.h>

namespace mmusim::platform {

void SequenceBeforeCountMonitor::on_record(const rmap::EventRecord& record, Findings& findings) {
    if (record.event == rmap::Event::kMnEnd) {
        raised_.erase({record.actor, record.arguments[0]});
        return;
    }
    const std::uint64_t id = record.arguments[0];
    const rmap::MmId mm = record.arguments[1];
    const ClientCount now{record.arguments[2], record.arguments[3]};
    const ClientCount* known = clients_.find({id, mm});
    const ClientCount before = known ? *known : now;
    clients_.at({id, mm}) = now;

    if (now.sequence > before.sequence) raised_.at({record.actor, mm}).insert(id);
    if (now.count >= before.count) return;
    findings.judge();
    if (raised_.at({record.actor, mm}).erase(id) > 0) return;
    findings.breach(record,
                    fmt::format("client {} lowered its count for mm {} to {} while its sequence "
                                "was still {}",
                                id, mm, now.count, now.sequence),
                    record.time);
}

}  // namespace mmusim::platform
