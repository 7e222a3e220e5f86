// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/capture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/iostreams/filter/gzip.hpp>
#include <boost/iostreams/filter/lzma.hpp>
#include <boost/iostreams/filtering_stream.hpp>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "platform/config/config_error.hpp"

namespace mmusim::platform {

namespace {

namespace fs = std::filesystem;
namespace io = boost::iostreams;
using Json = nlohmann::ordered_json;

constexpr std::string_view kSuffixes[] = {".jsonl", ".jsonl.xz", ".jsonl.gz"};

bool ends_with(std::string_view text, std::string_view suffix) {
    return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

/// A decimal number, or a hexadecimal one after 0x.
std::optional<std::uint64_t> number_in(std::string_view text) {
    int base = 10;
    if (text.substr(0, 2) == "0x") {
        text.remove_prefix(2);
        base = 16;
    }
    if (base == 10 && text.substr(0, 1) == "-") {
        const auto positive = number_in(text.substr(1));
        return positive ? std::optional(~*positive + 1) : std::nullopt;
    }
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty())
        return std::nullopt;
    return value;
}

std::string text_of(const Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

std::uint64_t number_of(const Json& value, std::string_view what) {
    const auto number = number_in(text_of(value));
    if (!number) throw UserError(fmt::format("{} is not a number", what));
    return *number;
}

/// Without the library's number for it.
std::string reason(const nlohmann::json::exception& error) {
    const std::string text = error.what();
    const auto bracket = text.find("] ");
    return bracket == std::string::npos ? text : text.substr(bracket + 2);
}

CaptureTask task_of(const Json& json) {
    return {json.at("name").get<std::string>(),
            static_cast<rmap::CpuId>(number_of(json.at("cpu"), "cpu"))};
}

void read_command_line(const std::string& text, Capture& capture) {
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        const auto equals = word.find('=');
        capture.boot[word.substr(0, equals)] =
            equals == std::string::npos ? std::string() : word.substr(equals + 1);
    }
}

/// Returns how many events follow.
std::size_t read_header(const Json& json, Capture& capture) {
    capture.scenario = json.at("scenario").get<std::string>();
    capture.kernel = json.at("kernel").get<std::string>();
    read_command_line(json.at("cmdline").get<std::string>(), capture);
    for (const auto& [key, value] : json.at("args").items()) capture.args[key] = text_of(value);
    for (const auto& process : json.at("processes")) capture.processes.push_back(task_of(process));
    for (const auto& thread : json.at("threads_of_main"))
        capture.threads.push_back(task_of(thread));
    for (const auto& [pointer, process] : json.at("mms").items()) {
        const auto number = number_in(pointer);
        if (!number) throw UserError("mms: not a pointer");
        capture.mms[*number] = process.get<std::string>();
    }
    const auto& target = json.at("target");
    capture.target = {{number_of(target.at("start"), "target.start")},
                      {number_of(target.at("end"), "target.end")}};
    for (const auto& page : json.at("pages_before")) {
        CapturePage read;
        read.process = static_cast<unsigned>(number_of(page.at("proc"), "pages_before.proc"));
        read.index = number_of(page.at("i"), "pages_before.i");
        if (page.contains("pfn")) read.pfn = number_of(page.at("pfn"), "pages_before.pfn");
        capture.pages_before.push_back(read);
    }
    if (json.contains("dropped_unrelated"))
        for (const auto& [event, count] : json.at("dropped_unrelated").items())
            capture.left_out[event] = number_of(count, "dropped_unrelated");
    return number_of(json.at("events"), "events");
}

CaptureEvent read_event(const Json& json, unsigned line) {
    CaptureEvent event;
    event.line = line;
    event.t = number_of(json.at("t"), "t");
    event.cpu = static_cast<rmap::CpuId>(number_of(json.at("cpu"), "cpu"));
    event.task = json.at("task").get<std::string>();
    event.name = json.at("ev").get<std::string>();
    for (const auto& [key, value] : json.items()) {
        if (key == "t" || key == "cpu" || key == "task" || key == "ev") continue;
        if (key == "irq")
            event.irq = text_of(value) != "0";
        else
            event.arguments.push_back({key, text_of(value), number_in(text_of(value))});
    }
    return event;
}

/// tlb_is_not_lazy has an argument "cpu", which took the place of the CPU that runs it.
void restore_running_cpu(Capture& capture) {
    std::map<std::string, rmap::CpuId> cpu_of_task;
    for (const auto& task : capture.processes) cpu_of_task[task.name] = task.cpu;
    for (const auto& task : capture.threads) cpu_of_task[task.name] = task.cpu;
    for (auto& event : capture.events) {
        if (event.name == "tlb_is_not_lazy") {
            const auto asked = std::to_string(event.cpu);
            event.arguments.push_back({"target", asked, event.cpu});
            event.cpu = cpu_of_task[event.task];
        } else if (!event.irq) {
            cpu_of_task[event.task] = event.cpu;
        }
    }
}

/// Each process has done something to its own memory just before.
void note_loaded(Capture& capture, const CaptureEvent& event) {
    if (event.irq) return;
    if (event.name == "switch_mm_irqs_off")
        capture.loaded_before[event.cpu] = event.number("next");
    else if (const auto mm = event.number("mm"); mm && mm == capture.mm_of_task(event.task))
        capture.loaded_before[event.cpu] = mm;
}

void note_generation(Capture& capture, const CaptureEvent& event) {
    if (const auto generation = event.number("gen"); generation && event.number("mm"))
        capture.generation_before[event.number("mm")] = generation;
    if (event.name == "ubc_tlb_gen_inc") capture.generation_before.clear();
}

/// From the first OP_BEGIN to the last OP_END.
void keep_operation(Capture& capture) {
    const auto is_mark = [](const CaptureEvent& event, std::string_view text) {
        return event.name == "mark" && event.text("text").rfind(text, 0) == 0;
    };
    auto& events = capture.events;
    const auto begin = std::find_if(events.begin(), events.end(),
                                    [&](const CaptureEvent& e) { return is_mark(e, "OP_BEGIN"); });
    const auto end = std::find_if(events.rbegin(), events.rend(),
                                  [&](const CaptureEvent& e) { return is_mark(e, "OP_END"); });
    if (begin == events.end() || end == events.rend() || end.base() <= begin)
        throw UserError(
            fmt::format("{}: no operation; expected the marks OP_BEGIN and OP_END", capture.file));
    for (auto event = events.begin(); event != begin; ++event) {
        note_loaded(capture, *event);
        note_generation(capture, *event);
    }
    events = {begin, end.base()};
}

bool is_of_scenario(const Capture& capture, const CaptureEvent& event) {
    const auto is_its = [&](const CaptureTask& task) { return task.name == event.task; };
    return std::any_of(capture.processes.begin(), capture.processes.end(), is_its) ||
           std::any_of(capture.threads.begin(), capture.threads.end(), is_its);
}

/// See Capture::has_flusher. Interrupts stay with the CPU that took them.
void find_flusher(Capture& capture) {
    std::set<std::string> flushers;
    for (const auto& event : capture.events)
        if (event.name == "page_mkclean" && !is_of_scenario(capture, event))
            flushers.insert(event.task);
    capture.has_flusher = !flushers.empty();
    for (auto& event : capture.events)
        if (!event.irq && flushers.count(event.task)) event.cpu = Capture::kFlusherCpu;
}

}  // namespace

const CaptureArgument* CaptureEvent::find(std::string_view argument) const {
    const auto found = std::find_if(arguments.begin(), arguments.end(),
                                    [&](const auto& a) { return a.name == argument; });
    return found == arguments.end() ? nullptr : &*found;
}

std::uint64_t CaptureEvent::number(std::string_view argument) const {
    const auto* found = find(argument);
    return found ? found->number.value_or(0) : 0;
}

std::string CaptureEvent::text(std::string_view argument) const {
    const auto* found = find(argument);
    return found ? found->text : std::string();
}

std::uint64_t Capture::mm_of_task(const std::string& task) const {
    const bool thread = std::any_of(threads.begin(), threads.end(),
                                    [&](const CaptureTask& other) { return other.name == task; });
    const std::string process = thread ? "main" : task;
    for (const auto& [mm, name] : mms)
        if (name == process) return mm;
    return 0;
}

std::string Capture::place(const CaptureEvent& event) const {
    return fmt::format("{}:{}", file, event.line);
}

Capture read_capture(const std::string& file) {
    std::ifstream raw(file, std::ios::binary);
    if (!raw) throw UserError(fmt::format("{}: cannot read", file));
    io::filtering_istream in;
    if (ends_with(file, ".xz")) in.push(io::lzma_decompressor());
    if (ends_with(file, ".gz")) in.push(io::gzip_decompressor());
    in.push(raw);
    in.exceptions(std::ios_base::badbit);  // what a filter throws

    Capture capture;
    capture.file = file;
    std::size_t announced = 0;
    unsigned line = 0;
    try {
        for (std::string text; std::getline(in, text);) {
            ++line;
            const Json json = Json::parse(text);
            if (line == 1)
                announced = read_header(json, capture);
            else
                capture.events.push_back(read_event(json, line));
        }
    } catch (const nlohmann::json::exception& error) {
        throw UserError(fmt::format("{}:{}: not {} of a capture: {}", file, line,
                                    line == 1 ? "the header" : "an event", reason(error)));
    } catch (const std::ios_base::failure&) {
        throw UserError(fmt::format("{}:{}: the compressed file is damaged", file, line + 1));
    } catch (const UserError& error) {
        throw UserError(fmt::format("{}:{}: {}", file, line, error.what()));
    }
    if (line == 0) throw UserError(fmt::format("{}: empty; expected a capture", file));
    if (capture.events.size() != announced)
        throw UserError(fmt::format("{}:{}: ends here with {} events; its header announces {}",
                                    file, line, capture.events.size(), announced));
    restore_running_cpu(capture);
    keep_operation(capture);
    find_flusher(capture);
    return capture;
}

std::vector<std::string> find_captures(const std::string& folder_or_file) {
    if (!fs::exists(folder_or_file))
        throw UserError(fmt::format("{}: no such file or folder", folder_or_file));
    if (!fs::is_directory(folder_or_file)) return {folder_or_file};
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_or_file)) {
        const auto name = entry.path().filename().string();
        if (std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                        [&](std::string_view suffix) { return ends_with(name, suffix); }))
            found.push_back(entry.path().string());
    }
    if (found.empty())
        throw UserError(
            fmt::format("{}: holds no capture; expected files like NAME.jsonl.xz", folder_or_file));
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace mmusim::platform
