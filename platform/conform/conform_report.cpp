// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/conform_report.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mmusim::platform {

using Json = nlohmann::ordered_json;

namespace {

using Status = CaptureReport::Status;

// Keys of JSON.
constexpr char kNotModelled[] = "not_modelled";
constexpr char kUnreadable[] = "unreadable";

constexpr std::size_t kBefore = 4;   ///< events that are shown before a difference
constexpr std::size_t kBehind = 6;   ///< and from it on
constexpr std::size_t kColumn = 76;  ///< characters of the left side

DifferenceReport difference_of(const Capture& capture, const Mismatch& mismatch) {
    DifferenceReport report;
    report.what = mismatch.what;
    report.cpu = mismatch.cpu;
    report.ours = mismatch.ours;
    if (!mismatch.expected) return report;
    report.place = capture.place(*mismatch.expected);
    bool reached = false;
    for (const auto& event : capture.events) {
        reached |= &event == mismatch.expected;
        if (event.cpu != mismatch.cpu) continue;
        if (!reached) report.before.push_back(event_text(event));
        if (reached && report.theirs.size() < kBehind) report.theirs.push_back(event_text(event));
    }
    if (report.before.size() > kBefore)
        report.before.erase(report.before.begin(),
                            report.before.end() - static_cast<std::ptrdiff_t>(kBefore));
    return report;
}

std::string cut(const std::string& text, std::size_t width) {
    return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

std::string side_by_side(const DifferenceReport& report) {
    std::string text = fmt::format("    {}: CPU {}: {}\n", report.place, report.cpu, report.what);
    text += fmt::format("    {:<{}}  {}\n", "the kernel", kColumn, "ours");
    for (const auto& both : report.before)
        text += fmt::format("    {:<{}}  (the same)\n", cut(both, kColumn), kColumn);
    for (std::size_t i = 0; i < std::max(report.theirs.size(), report.ours.size()); ++i) {
        const auto side = [i](const std::vector<std::string>& lines) {
            return i < lines.size() ? cut(lines[i], kColumn) : std::string();
        };
        text += fmt::format("  {} {:<{}}  {}\n", i == 0 ? '>' : ' ', side(report.theirs), kColumn,
                            side(report.ours));
    }
    return text;
}

}  // namespace

CaptureReport report_of(const Capture& capture, const ConformResult& result) {
    CaptureReport report;
    report.scenario = capture.scenario;
    report.counts = result.counts;
    if (result.mismatch) report.difference.push_back(difference_of(capture, *result.mismatch));
    return report;
}

Json to_json(const CaptureReport& report) {
    Json json{{"scenario", report.scenario}, {"conforms", report.conforms()}};
    if (report.status != Status::kReplayed) {
        json[report.status == Status::kNotModelled ? kNotModelled : kUnreadable] = report.reason;
        return json;
    }
    json["events"] = report.counts.events;
    json["predicted"] = report.counts.predicted;
    json["given"] = Json::object();
    for (std::size_t i = 0; i < kInputs; ++i)
        if (report.counts.given[i] > 0)
            json["given"][input_table()[i].name] = report.counts.given[i];
    json["ignored"] = report.counts.ignored;
    for (const auto& difference : report.difference)
        json["difference"] = {{"what", difference.what},     {"place", difference.place},
                              {"cpu", difference.cpu},       {"before", difference.before},
                              {"kernel", difference.theirs}, {"ours", difference.ours}};
    return json;
}

CaptureReport capture_report(const Json& json) {
    CaptureReport report;
    report.scenario = json.at("scenario").get<std::string>();
    const auto not_replayed = [&](const char* key, Status status) {
        if (!json.contains(key)) return false;
        report.status = status;
        report.reason = json[key].get<std::string>();
        return true;
    };
    if (not_replayed(kNotModelled, Status::kNotModelled) ||
        not_replayed(kUnreadable, Status::kUnreadable))
        return report;
    report.counts.events = json.at("events").get<std::size_t>();
    report.counts.predicted = json.at("predicted").get<std::size_t>();
    for (std::size_t i = 0; i < kInputs; ++i)
        report.counts.given[i] = json.at("given").value(std::string(input_table()[i].name), 0u);
    report.counts.ignored = json.at("ignored").get<std::size_t>();
    if (!json.contains("difference")) return report;
    const Json& difference = json["difference"];
    using Lines = std::vector<std::string>;
    report.difference.push_back(
        {difference.at("what").get<std::string>(), difference.at("place").get<std::string>(),
         difference.at("cpu").get<rmap::CpuId>(), difference.at("before").get<Lines>(),
         difference.at("kernel").get<Lines>(), difference.at("ours").get<Lines>()});
    return report;
}

std::string to_text(const CaptureReport& report) {
    if (report.status != Status::kReplayed)
        return fmt::format("{:<7}  {}\n",
                           report.status == Status::kNotModelled ? "skipped" : "broken",
                           report.reason);
    const auto& counts = report.counts;
    std::string text =
        fmt::format("{:<7}  {:<40} {:6} events: {:6} predicted {:5} given {:4} ignored\n",
                    report.conforms() ? "ok" : "differs", report.scenario, counts.events,
                    counts.predicted, total(counts.given), counts.ignored);
    for (const auto& difference : report.difference) text += side_by_side(difference);
    return text;
}

}  // namespace mmusim::platform
