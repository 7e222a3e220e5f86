// SPDX-License-Identifier: Apache-2.0
// Captures as files: what is read, and what is said of those that are damaged.
#include <algorithm>
#include <boost/iostreams/copy.hpp>
#include <boost/iostreams/filter/gzip.hpp>
#include <boost/iostreams/filter/lzma.hpp>
#include <boost/iostreams/filtering_stream.hpp>
#include <catch2/catch.hpp>
#include <sstream>
#include <string>

#include "platform/config/config_error.hpp"
#include "platform/conform/capture.hpp"
#include "platform/conform/corruption.hpp"
#include "platform/conform/script.hpp"
#include "platform/conform/workload_arguments.hpp"
#include "tests/support/temporary_folder.hpp"

namespace mmusim::test {
namespace {

using platform::Capture;
using platform::Corruption;
using platform::UserError;

/// The lines of a capture: a process that unmaps two pages.
struct CaptureText {
    std::string args = R"("kind":"anon","np":"2","op":"munmap")";
    std::string kernel = "5.0.1";
    std::vector<std::string> events{
        R"("cpu":0,"task":"main","ev":"tlb_finish_mmu","mm":"0x7","start":"0x1000","end":"0x2000")",
        R"("cpu":0,"task":"main","ev":"mark","text":"OP_BEGIN munmap")",
        R"("cpu":1,"task":"swapper/1","ev":"switch_mm_irqs_off","prev":"0x7","next":"0x8")",
        R"("cpu":0,"task":"main","ev":"tlb_gather_mmu","mm":"0x7","start":"0x4000","end":"0x6000")",
        R"("cpu":1,"task":"kworker/1:0","ev":"put_page","pfn":"0x12"})",
        R"("cpu":1,"task":"swapper/1","irq":1,"ev":"tlb_flush","reason":"remote_shootdown","pages":2)",
        R"("cpu":0,"task":"main","ev":"mark","text":"OP_END ret=0")"};

    std::string text() const {
        std::string text =
            R"({"scenario":"two","kernel":")" + kernel + R"(","cmdline":"quiet","args":{)" + args +
            R"(},"processes":[{"name":"main","pid":9,"cpu":0}],"threads_of_main":[],)"
            R"("mms":{"0x7":"main"},"target":{"start":"0x4000","end":"0x6000"},)"
            R"("pages_before":[{"proc":0,"i":0,"pfn":"0x12"},{"proc":0,"i":1}],)"
            R"("events":)" +
            std::to_string(events.size()) + "}\n";
        for (std::size_t n = 0; n < events.size(); ++n) {
            std::string event = events[n];
            if (event.back() == '}') event.pop_back();
            text += "{\"t\":" + std::to_string(10 + n) + "," + event + "}\n";
        }
        return text;
    }
};

template <class Filter>
std::string compressed(const std::string& text) {
    namespace io = boost::iostreams;
    std::istringstream from(text);
    std::ostringstream to;
    io::filtering_ostream out;
    out.push(Filter());
    out.push(to);
    io::copy(from, out);
    io::close(out);
    return to.str();
}

std::string error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const UserError& error) {
        return error.what();
    }
    return "none";
}

Capture read(const CaptureText& text) {
    const TemporaryFolder folder;
    return platform::read_capture(folder.write("two.jsonl", text.text()));
}

}  // namespace

TEST_CASE("capture: header and the events from OP_BEGIN to OP_END are read", "[unit][conform]") {
    const Capture capture = read({});
    CHECK(capture.scenario == "two");
    CHECK(capture.kernel == "5.0.1");
    CHECK(capture.args.at("op") == "munmap");
    CHECK(capture.mms.at(7) == "main");
    CHECK(capture.target.pages() == 2);
    REQUIRE(capture.pages_before.size() == 2);
    CHECK(capture.pages_before[0].pfn == 0x12);
    CHECK_FALSE(capture.pages_before[1].pfn);
    REQUIRE(capture.events.size() == 6);
    CHECK(capture.events.front().text("text") == "OP_BEGIN munmap");
    const auto& gather = capture.events[2];
    CHECK(gather.number("end") == 0x6000);
    CHECK(gather.line == 5);
    CHECK(gather.find("END") == nullptr);
    CHECK(capture.events[4].irq);
    CHECK_THAT(capture.place(gather), Catch::EndsWith("two.jsonl:5"));
}

TEST_CASE("capture: compressed files say the same", "[unit][conform]") {
    const TemporaryFolder folder;
    const std::string text = CaptureText{}.text();
    const auto xz =
        folder.write("two.jsonl.xz", compressed<boost::iostreams::lzma_compressor>(text));
    const auto gz =
        folder.write("two.jsonl.gz", compressed<boost::iostreams::gzip_compressor>(text));
    CHECK(platform::read_capture(xz).events.size() == 6);
    CHECK(platform::read_capture(gz).events.size() == 6);
    CHECK(platform::find_captures(folder.path("")) == std::vector<std::string>{gz, xz});
}

TEST_CASE("capture: a damaged file is one line that names the place", "[unit][conform]") {
    const TemporaryFolder folder;
    const std::string whole = CaptureText{}.text();
    const auto complaint = [&](const std::string& name, const std::string& content) {
        const auto file = folder.write(name, content);
        const auto error = error_of([&] { platform::read_capture(file); });
        CHECK(error.find('\n') == std::string::npos);
        return error.substr(std::min(error.find(name), error.size()));
    };
    CHECK(complaint("empty.jsonl", "") == "empty.jsonl: empty; expected a capture");
    CHECK_THAT(complaint("text.jsonl", "# hello\n"),
               Catch::StartsWith("text.jsonl:1: not the header of a capture: parse error"));
    CHECK(complaint("none.jsonl", "{}\n") ==
          "none.jsonl:1: not the header of a capture: key 'scenario' not found");
    CHECK(complaint("event.jsonl", whole.substr(0, whole.find('\n') + 1) + "{\"t\":3}\n") ==
          "event.jsonl:2: not an event of a capture: key 'cpu' not found");
    const auto last = whole.rfind('\n', whole.size() - 2);
    CHECK(complaint("short.jsonl", whole.substr(0, last + 1)) ==
          "short.jsonl:7: ends here with 6 events; its header announces 7");
    const auto gz = compressed<boost::iostreams::gzip_compressor>(whole);
    CHECK_THAT(complaint("bad.jsonl.gz", gz.substr(0, gz.size() / 2) + "######"),
               Catch::Contains("the compressed file is damaged"));
    CaptureText unmarked;
    unmarked.events.pop_back();
    CHECK(complaint("unmarked.jsonl", unmarked.text()) ==
          "unmarked.jsonl: no operation; expected the marks OP_BEGIN and OP_END");
    CHECK_THAT(error_of([&] { platform::find_captures(folder.path("nowhere")); }),
               Catch::EndsWith("nowhere: no such file or folder"));
    const TemporaryFolder bare;
    CHECK_THAT(error_of([&] { platform::find_captures(bare.path("")); }),
               Catch::Contains("holds no capture; expected files like NAME.jsonl.xz"));
}

TEST_CASE("capture: tlb_is_not_lazy runs on the CPU of its task and asks another",
          "[unit][conform]") {
    CaptureText text;
    text.events[3] = R"("cpu":3,"task":"main","ev":"tlb_is_not_lazy")";
    const Capture capture = read(text);
    CHECK(capture.events[2].cpu == 0);
    CHECK(capture.events[2].number("target") == 3);
}

TEST_CASE("capture: arguments are those of the program, with its defaults", "[unit][conform]") {
    CaptureText text;
    text.args = R"("kind":"file","np":"8","op":"reclaim","by":"rec","off":"2","len":"3")";
    const auto arguments = platform::workload_arguments(read(text));
    CHECK(arguments.kind == "file");
    CHECK(arguments.by_rec());
    CHECK(arguments.procs == 1);
    CHECK(arguments.operated({{0x10000}, {0x18000}}).start.value == 0x12000);
    CHECK(arguments.operated({{0x10000}, {0x18000}}).end.value == 0x15000);

    const auto refusal = [&](const std::string& args, const std::string& kernel = "5.0.1") {
        CaptureText wrong;
        wrong.args = args;
        wrong.kernel = kernel;
        const Capture capture = read(wrong);
        const auto error = error_of([&] { platform::workload_arguments(capture); });
        return error.substr(std::min(error.find("two.jsonl"), error.size()));
    };
    CHECK(refusal(R"("op":"munmp")") ==
          "two.jsonl:1: args.op = \"munmp\": unknown; nearest is 'munmap'");
    CHECK(refusal(R"("np":"many")") == "two.jsonl:1: args.np = \"many\": expected a number");
    CHECK(refusal(R"("young1":"4")") ==
          "two.jsonl:1: args.young1 = \"4\": no such argument; nearest is 'young'");
    CHECK(refusal(R"("kind":"ksm")") == "two.jsonl:1: args.kind = \"ksm\": not modelled");
    CHECK(refusal(R"("op":"munmap")", "6.1") ==
          "two.jsonl:1: kernel = \"6.1\": not modelled; expected 5.0.x");
}

TEST_CASE("capture: what tasks outside the scenario do is left out unless it interrupts",
          "[unit][conform]") {
    const Capture capture = read({});
    const platform::Script script(capture);
    std::vector<std::string> names;
    for (const auto* event : script.events()) names.push_back(event->name);
    CHECK(names == std::vector<std::string>{"mark", "switch_mm_irqs_off", "tlb_gather_mmu",
                                            "tlb_flush", "mark"});
    CHECK(script.ignored() == 1);
    CHECK(script.next_on(1)->name == "switch_mm_irqs_off");
}

TEST_CASE("capture: a corruption changes what a capture says and is made again from its seed",
          "[unit][conform]") {
    const Capture capture = read({});
    const auto planned = platform::plan_corruptions(capture, 40, 5);
    REQUIRE(planned.size() == 40);
    for (const auto& corruption : planned) {
        const Capture changed = platform::corrupted(capture, corruption);
        std::string before;
        std::string after;
        for (const auto& event : capture.events)
            before += std::to_string(event.cpu) + event.name + event.text("mm") +
                      event.text("start") + event.text("end") + event.text("next") +
                      event.text("prev") + event.text("pages") + event.text("reason");
        for (const auto& event : changed.events)
            after += std::to_string(event.cpu) + event.name + event.text("mm") +
                     event.text("start") + event.text("end") + event.text("next") +
                     event.text("prev") + event.text("pages") + event.text("reason");
        CAPTURE(corruption.text(capture));
        CHECK(before != after);
    }
    const auto again = platform::plan_corruptions(capture, 40, 5);
    for (std::size_t n = 0; n < planned.size(); ++n)
        CHECK(planned[n].text(capture) == again[n].text(capture));
}

}  // namespace mmusim::test
