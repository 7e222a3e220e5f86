// SPDX-License-Identifier: Apache-2.0
#include "platform/report/event_log.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "platform/config/config_error.hpp"
#include "tests/support/event_stream.hpp"

namespace mmusim::platform {
namespace {

using rmap::Event;
using test::EventStream;

std::string actor_name(rmap::ActorId actor) { return "core" + std::to_string(actor); }

/// A name of its own: cases run in processes of their own, at the same time.
struct File {
    explicit File(const std::string& name)
        : path((std::filesystem::temp_directory_path() / (std::to_string(getpid()) + name))
                   .string()) {}
    ~File() { std::filesystem::remove(path); }
    std::string content() const {
        std::ostringstream text;
        text << std::ifstream(path, std::ios::binary).rdbuf();
        return text.str();
    }
    std::string path;
};

std::string logged(const EventStream& stream) {
    const File file("mmusim_event_log_test.jsonl");
    EventLog log(file.path, actor_name);
    stream.play(log);
    log.close();
    const std::string content = file.content();
    return content.substr(content.find('\n') + 1);
}

TEST_CASE("event_log: begins with a line that names the program and the format", "[unit][oracle]") {
    const File file("mmusim_event_log_header.jsonl");
    EventLog log(file.path, actor_name);
    log.close();
    CHECK(file.content() == "{\"mmusim\":\"" MMUSIM_VERSION "\",\"format\":1}\n");
}

TEST_CASE("event_log: writes arguments by name in their notation", "[unit][oracle]") {
    EventStream stream;
    stream.at(1).in(rmap::operation_id(0, 17)).emit(Event::kTryToUnmap, {0x1815, 0x19});
    stream.on(12).in(0).emit(Event::kMmCounter, {2, 1, ~std::uint64_t{0}});
    CHECK(logged(stream) ==
          R"({"t":1000,"seq":0,"agent":"core0","op":"0.17","ev":"try_to_unmap",)"
          R"("pfn":"0x1815","flags":"0x19"})"
          "\n"
          R"({"t":11000,"seq":1,"agent":"core12","ev":"mm_counter","mm":2,"counter":1,"delta":-1})"
          "\n");
}

TEST_CASE("event_log: names the reasons of flushes and marks everything", "[unit][oracle]") {
    EventStream stream;
    for (std::uint64_t reason = 0; reason < 5; ++reason)
        stream.at(1).emit(Event::kTlbFlush, {reason, reason == 0 ? rmap::kAllPages : reason});
    stream.at(2).emit(Event::kFlushTlbOthers, {0xe, 0, 0, ~std::uint64_t{0}, 3});
    stream.at(3).emit(Event::kTryToUnmapFlushRet);
    const auto flush = [](int seq, const std::string& reason, int pages) {
        return R"({"t":1000,"seq":)" + std::to_string(seq) +
               R"(,"agent":"core0","ev":"tlb_flush","reason":")" + reason + R"(","pages":)" +
               std::to_string(pages) + "}\n";
    };
    CHECK(logged(stream) ==
          flush(0, "task_switch", -1) + flush(1, "remote_shootdown", 1) +
              flush(2, "local_shootdown", 2) + flush(3, "local_mm_shootdown", 3) +
              flush(4, "remote_send_ipi", 4) +
              R"({"t":2000,"seq":5,"agent":"core0","ev":"flush_tlb_others","cpumask":"0xe",)"
              R"("mm":0,"start":"0x0","end":"0xffffffffffffffff","gen":3})"
              "\n"
              R"({"t":3000,"seq":6,"agent":"core0","ev":"try_to_unmap_flush_ret"})"
              "\n");
}

TEST_CASE("event_log: every event of the vocabulary becomes a valid object", "[unit][oracle]") {
    EventStream stream;
    for (std::size_t i = 0; i < rmap::kEventCount; ++i)
        stream.emit(static_cast<Event>(i), {1, 2, 3, 4, 5, 6});
    std::istringstream lines(logged(stream));
    std::size_t i = 0;
    for (std::string line; std::getline(lines, line); ++i) {
        const auto object = nlohmann::json::parse(line);
        const rmap::EventInfo& info = rmap::kEventTable[i];
        CHECK(object.at("ev") == std::string(info.name));
        CHECK(object.size() >= (info.arguments.empty() ? 4u : 5u));
    }
    CHECK(i == rmap::kEventCount);
}

TEST_CASE("event_log: no argument is called like a field of every line", "[unit][oracle]") {
    for (const rmap::EventInfo& info : rmap::kEventTable) {
        std::istringstream arguments{std::string(info.arguments)};
        for (std::string argument; arguments >> argument;) {
            INFO(info.name << " " << argument);
            CHECK((argument != "t" && argument != "seq" && argument != "agent" &&
                   argument != "op" && argument != "ev"));
        }
    }
}

TEST_CASE("event_log: a run that is killed leaves whole lines", "[unit][oracle]") {
    const File file("mmusim_event_log_killed.jsonl");
    EventLog log(file.path, actor_name);
    EventStream stream;
    for (int i = 0; i < 3000; ++i) stream.emit(Event::kTryToUnmap, {0x1815, 0x19});
    stream.play(log);
    // Not closed: this is what a killed process would have left.
    std::string prefix = file.content();
    REQUIRE(prefix.size() > 100000);
    CHECK(prefix.back() == '\n');
    log.close();
    CHECK(file.content().substr(0, prefix.size()) == prefix);
    const std::string content = file.content();
    CHECK(std::count(content.begin(), content.end(), '\n') == 3001);
}

TEST_CASE("event_log: is completed by its destructor as well", "[unit][oracle]") {
    const File file("mmusim_event_log_dropped.jsonl");
    {
        EventLog log(file.path, actor_name);
        EventStream().emit(Event::kPageReferencedRet, {1}).play(log);
    }
    const std::string content = file.content();
    CHECK(std::count(content.begin(), content.end(), '\n') == 2);
}

TEST_CASE("event_log: a file that cannot be written is the user's mistake", "[unit][oracle]") {
    CHECK_THROWS_AS(EventLog("/nonexistent/directory/log.jsonl", actor_name), UserError);
    EventLog full("/dev/full", actor_name);
    CHECK_THROWS_AS(full.close(), UserError);
}

TEST_CASE("event_text: times are exact and operations have short names", "[unit][oracle]") {
    CHECK(text(rmap::picoseconds(1234000)) == "1234 ns");
    CHECK(text(rmap::picoseconds(1234500)) == "1234.5 ns");
    CHECK(text(rmap::picoseconds(1)) == "0.001 ns");
    CHECK(text(rmap::Instant{}) == "0 ns");
    CHECK(text(rmap::VirtRange{{0x1000}, {0x3000}}) == "[0x1000, 0x3000)");
    CHECK(text(rmap::kAllAddresses) == "everything");
    CHECK(operation_text(rmap::operation_id(3, 41)) == "3.41");
    CHECK(operation_text(0) == "none");
}

}  // namespace
}  // namespace mmusim::platform
