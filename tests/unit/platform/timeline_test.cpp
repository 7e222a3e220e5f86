// SPDX-License-Identifier: Apache-2.0
#include "platform/report/timeline.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "platform/config/config_error.hpp"
#include "tests/support/event_stream.hpp"
#include "tests/support/temporary_folder.hpp"

namespace mmusim::platform {
namespace {

using nlohmann::json;
using rmap::Event;
using test::EventStream;
using test::TemporaryFolder;

constexpr std::uint64_t kUnmap = static_cast<std::uint64_t>(rmap::OperationKind::kUnmap);
constexpr std::uint64_t kBatch = static_cast<std::uint64_t>(rmap::OperationKind::kShrinkPageList);

std::string agent_name(rmap::ActorId actor) { return "agent " + std::to_string(actor); }

std::string timeline_of(const EventStream& stream) {
    const TemporaryFolder folder;
    const std::string path = folder.path("timeline.json");
    Timeline timeline(path, agent_name);
    stream.play(timeline);
    timeline.close();
    return folder.read("timeline.json");
}

/// What a viewer requires of the events, whatever they are about.
void require_sound(const json& events) {
    std::map<int, std::vector<double>> open;
    std::map<int, double> last;
    std::set<int> named, used;
    std::map<int, std::vector<json>> flows;
    for (const json& event : events) {
        const std::string phase = event.at("ph");
        const int thread = event.at("tid");
        REQUIRE(event.at("pid") == 1);
        if (phase == "M") {
            if (event.at("name") == "thread_name") CHECK(named.insert(thread).second);
            continue;
        }
        used.insert(thread);
        const double time = event.at("ts");
        if (phase == "s" || phase == "f") {
            flows[event.at("id")].push_back(event);
            continue;
        }
        CHECK(time >= last[thread]);
        last[thread] = time;
        if (phase == "B") open[thread].push_back(time);
        if (phase == "E") {
            REQUIRE_FALSE(open[thread].empty());
            CHECK(time >= open[thread].back());
            open[thread].pop_back();
        }
    }
    for (const auto& [thread, slices] : open) CHECK(slices.empty());
    CHECK(named == used);
    for (const auto& [id, ends] : flows) {
        INFO("flow " << id);
        REQUIRE(ends.size() == 2);
        CHECK(ends[0].at("ph") == "s");
        CHECK(ends[1].at("ph") == "f");
        CHECK(ends[1].at("ts") >= ends[0].at("ts"));
        CHECK(ends[0].at("name") == ends[1].at("name"));
        CHECK(ends[0].at("cat") == ends[1].at("cat"));
    }
}

json events_of(const EventStream& stream) {
    json events = json::parse(timeline_of(stream));
    require_sound(events);
    return events;
}

/// Phase and name of all events but the metadata: "B try_to_unmap".
std::vector<std::string> shape(const json& events) {
    std::vector<std::string> result;
    for (const json& event : events) {
        const std::string phase = event.at("ph");
        if (phase != "M")
            result.push_back(event.contains("name") ? phase + " " + std::string(event.at("name"))
                                                    : phase);
    }
    return result;
}

using Shape = std::vector<std::string>;

TEST_CASE("timeline: names the process and every agent before its first event", "[unit][report]") {
    EventStream stream;
    stream.on(3).emit(Event::kPutPage, {1}).on(0).emit(Event::kPutPage, {1});
    const json events = events_of(stream);
    CHECK(events[0].at("args").at("name") == "mmusim");
    CHECK(events[1].at("args").at("name") == "agent 3");
    CHECK(events[2].at("name") == "thread_sort_index");
    CHECK(events[2].at("args").at("sort_index") == 3);
    CHECK(events[1].at("tid") == events[3].at("tid"));
    CHECK(events[4].at("args").at("name") == "agent 0");
}

TEST_CASE("timeline: a slice lasts from an entry to its return and knows both", "[unit][report]") {
    EventStream stream;
    stream.in(rmap::operation_id(0, 17)).at(1).emit(Event::kTryToUnmap, {0x1815, 0x40});
    stream.at(3).emit(Event::kTryToUnmapRet, {1});
    const std::string text = timeline_of(stream);
    CHECK(text.find(R"(,{"ph":"B","pid":1,"tid":1,"ts":0.001,"cat":"event","name":"try_to_unmap",)"
                    R"("args":{"seq":0,"operation":"operation 0.17","pfn":"0x1815",)"
                    R"("flags":"0x40"}})"
                    "\n") != std::string::npos);
    CHECK(text.find(R"(,{"ph":"E","pid":1,"tid":1,"ts":0.003,"cat":"event",)"
                    R"("args":{"end_seq":1,"operation":"operation 0.17","ret":1}})"
                    "\n") != std::string::npos);
    require_sound(json::parse(text));
}

TEST_CASE("timeline: times are exact to the picosecond", "[unit][report]") {
    EventStream stream;
    stream.emit(Event::kPutPage, {1});
    rmap::EventRecord record = stream.records().front();
    const TemporaryFolder folder;
    const std::string path = folder.path("timeline.json");
    Timeline timeline(path, agent_name);
    for (const std::uint64_t ps :
         {0ull, 1ull, 20ull, 1000000ull, 1050000ull, 9007199254740993ull}) {
        record.time = rmap::Instant{ps};
        timeline.on_record(record);
    }
    timeline.close();
    const std::string text = folder.read("timeline.json");
    for (const std::string ts : {"0", "0.000001", "0.00002", "1", "1.05", "9007199254.740993"})
        CHECK(text.find("\"ts\":" + ts + ",") != std::string::npos);
}

TEST_CASE("timeline: a return without entry is dropped", "[unit][report]") {
    EventStream stream;
    stream.emit(Event::kTryToUnmapRet, {1}).on(1).emit(Event::kTryToUnmap, {1, 0});
    stream.on(0).emit(Event::kTryToUnmapRet, {1});
    stream.on(1).emit(Event::kTryToUnmapRet, {1});
    CHECK(shape(events_of(stream)) == Shape{"B try_to_unmap", "E"});
}

TEST_CASE("timeline: an entry without return ends with the slice around it", "[unit][report]") {
    EventStream stream;
    stream.at(10).emit(Event::kTryToUnmap, {1, 0});
    stream.at(20).emit(Event::kRmapWalkAnon, {1, 0}).emit(Event::kTryToUnmapOne, {1, 2, 0, 0});
    stream.at(50).emit(Event::kTryToUnmapRet, {1}).emit(Event::kRmapWalkAnonRet);
    const json events = events_of(stream);
    CHECK(shape(events) ==
          Shape{"B try_to_unmap", "B rmap_walk_anon", "B try_to_unmap_one", "E", "E", "E"});
    for (std::size_t i = events.size() - 3; i < events.size(); ++i)
        CHECK(events[i].at("ts") == 0.05);
    CHECK(events.back().at("args").at("ret") == 1);
    CHECK_FALSE(events[events.size() - 2].contains("args"));
}

TEST_CASE("timeline: what is open at the end of the run ends there", "[unit][report]") {
    EventStream stream;
    stream.in(rmap::operation_id(0, 1)).emit(Event::kOperationBegin, {kUnmap, 1});
    stream.emit(Event::kTryToUnmap, {1, 0});
    stream.on(1).at(70).emit(Event::kPutPage, {1});
    const json events = events_of(stream);
    CHECK(shape(events) == Shape{"b unmap", "B try_to_unmap", "i put_page", "E", "e unmap"});
    CHECK(events.back().at("ts") == 0.07);
}

TEST_CASE("timeline: entries that never return do not pile up", "[unit][report]") {
    EventStream stream;
    for (std::size_t i = 0; i <= Timeline::kDeepest; ++i) stream.emit(Event::kMigratePages, {0, 0});
    const auto events = shape(events_of(stream));
    REQUIRE(events.size() == 2 * (Timeline::kDeepest + 1));
    CHECK(std::count(events.begin(), events.begin() + 2 * Timeline::kDeepest, "E") ==
          Timeline::kDeepest);
}

TEST_CASE("timeline: batches are slices, operations of pages overlap", "[unit][report]") {
    const auto batch = rmap::operation_id(0, 1), page = rmap::operation_id(0, 2),
               next = rmap::operation_id(0, 3);
    EventStream stream;
    stream.in(batch).emit(Event::kOperationBegin, {kBatch, 2});
    stream.in(page).emit(Event::kOperationBegin, {kUnmap, 1}).emit(Event::kTryToUnmap, {1, 0});
    stream.emit(Event::kTryToUnmapRet, {1});
    stream.in(next).emit(Event::kOperationBegin, {kUnmap, 1});
    stream.in(page).emit(Event::kOperationEnd, {kUnmap, 1}).emit(Event::kOperationEnd, {kUnmap, 1});
    stream.in(next).emit(Event::kOperationEnd, {kUnmap, 1});
    stream.in(batch).emit(Event::kOperationEnd, {kBatch, 2});
    const json events = events_of(stream);
    CHECK(shape(events) == Shape{"B shrink_page_list", "b unmap", "B try_to_unmap", "E", "b unmap",
                                 "e unmap", "e unmap", "E"});
    const json* first = &events[events.size() - 8];
    CHECK(first[1].at("id") == "0.2");
    CHECK(first[5].at("id") == "0.2");
    CHECK(first[2].at("args").at("operation") == "unmap 0.2 in shrink_page_list 0.1");
    CHECK(first[7].at("args").at("operation") == "shrink_page_list 0.1");
}

TEST_CASE("timeline: the end of an operation ends it, and one of its kind that was left open",
          "[unit][report]") {
    const auto outer = rmap::operation_id(0, 1), inner = rmap::operation_id(0, 2);
    EventStream stream;
    stream.in(outer).emit(Event::kOperationBegin, {kBatch, 2});
    stream.in(inner).emit(Event::kOperationBegin, {kBatch, 2});
    stream.in(outer).emit(Event::kOperationEnd, {kBatch, 2}).emit(Event::kPutPage, {1});
    CHECK(shape(events_of(stream)) ==
          Shape{"B shrink_page_list", "B shrink_page_list", "E", "E", "i put_page"});
}

TEST_CASE("timeline: an arrow leads from each cause to its effect", "[unit][report]") {
    EventStream stream;
    stream.in(rmap::operation_id(0, 1)).at(10).emit(Event::kFlushTlbOthers, {6, 0, 0, 0, 0});
    stream.at(20).emit(Event::kIpiSend, {252, 0b0110});
    stream.on(1).at(30).emit(Event::kCallFunctionEntry, {252});
    stream.on(2).at(31).emit(Event::kCallFunctionEntry, {252});
    stream.on(1).at(40).emit(Event::kCallFunctionAck, {0});
    stream.on(2).at(41).emit(Event::kCallFunctionAck, {0});
    stream.on(0).at(50).emit(Event::kFlushTlbOthersRet);
    const json events = events_of(stream);
    CHECK(shape(events) == Shape{"B flush_tlb_others", "X ipi_send", "X call_function_entry",
                                 "s interrupt", "f interrupt", "X call_function_entry",
                                 "s interrupt", "f interrupt", "X call_function_ack",
                                 "X call_function_ack", "s acknowledgement", "f acknowledgement",
                                 "s acknowledgement", "f acknowledgement", "E"});
    // Perfetto and chrome://tracing bind an end to the slice that is open there.
    std::vector<std::string> ends;
    for (const json& event : events)
        if (event.at("ph") == "s" || event.at("ph") == "f") {
            CHECK(event.contains("bp") == (event.at("ph") == "f"));
            ends.push_back(event.at("tid").dump() + "@" + event.at("ts").dump());
        }
    CHECK(ends ==
          Shape{"1@0.02", "2@0.03", "1@0.02", "3@0.031", "2@0.04", "1@0.05", "3@0.041", "1@0.05"});
}

TEST_CASE("timeline: a cause without effect leaves no half arrow", "[unit][report]") {
    EventStream stream;
    stream.in(rmap::operation_id(0, 1)).emit(Event::kIpiSend, {252, 0b0010});
    CHECK(shape(events_of(stream)) == Shape{"X ipi_send"});
}

TEST_CASE("timeline: the whole vocabulary is sound, twice in any nesting", "[unit][report]") {
    EventStream stream;
    for (int round = 0; round < 2; ++round)
        for (std::size_t i = 0; i < rmap::kEventCount; ++i)
            stream.on(i % 3).in(i % 5).emit(static_cast<Event>(i), {1, 2, 3, 4, 5, 6});
    const json events = events_of(stream);
    CHECK(events.size() > rmap::kEventCount);
}

TEST_CASE("timeline: a run that is killed leaves whole lines that can be closed",
          "[unit][report]") {
    const TemporaryFolder folder;
    const std::string path = folder.path("timeline.json");
    Timeline timeline(path, agent_name);
    EventStream stream;
    for (int i = 0; i < 2000; ++i) stream.emit(Event::kTryToUnmap, {0x1815, 0x19});
    stream.play(timeline);
    const std::string prefix = folder.read("timeline.json");
    REQUIRE(prefix.size() > 100000);
    CHECK(prefix.back() == '\n');
    CHECK_NOTHROW(json::parse(prefix + "]"));
    timeline.close();
    CHECK(folder.read("timeline.json").substr(0, prefix.size()) == prefix);
}

TEST_CASE("timeline: a file that cannot be written is the user's mistake", "[unit][report]") {
    CHECK_THROWS_AS(Timeline("/nonexistent/directory/timeline.json", agent_name), UserError);
    Timeline full("/dev/full", agent_name);
    CHECK_THROWS_AS(full.close(), UserError);
}

}  // namespace
}  // namespace mmusim::platform
