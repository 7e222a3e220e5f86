// SPDX-License-Identifier: Apache-2.0
#include "platform/report/event_log.hpp"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "platform/report/event_arguments.hpp"

namespace mmusim::platform {

EventLog::EventLog(const std::string& path, ActorName actor_name)
    : actor_name_(std::move(actor_name)), file_(path, "the event log") {
    file_.append("{\"mmusim\":\"" MMUSIM_VERSION "\",\"format\":1}\n");
}

void EventLog::on_record(const rmap::EventRecord& record) {
    file_.append("{\"t\":");
    file_.append(record.time.ps);
    file_.append(",\"seq\":");
    file_.append(next_number_++);
    file_.append(",\"agent\":");
    file_.append(agent(record.actor));
    if (record.operation != 0) {
        file_.append(",\"op\":\"");
        file_.append(operation_text(record.operation));
        file_.append("\"");
    }
    file_.append(",\"ev\":\"");
    file_.append(rmap::info(record.event).name);
    file_.append("\"");
    append_arguments(file_.text(), record);
    file_.append("}\n");
    file_.line_done();
}

const std::string& EventLog::agent(rmap::ActorId actor) {
    if (actor >= agents_.size()) agents_.resize(actor + std::size_t{1});
    std::string& name = agents_[actor];
    if (name.empty()) name = nlohmann::json(actor_name_(actor)).dump();
    return name;
}

}  // namespace mmusim::platform
