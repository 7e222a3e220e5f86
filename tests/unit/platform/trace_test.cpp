// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "platform/config/config_error.hpp"
#include "platform/trace/trace_reader.hpp"
#include "platform/trace/trace_writer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace mmusim::platform {
namespace {

using test::TemporaryFolder;
using List = std::vector<Reference>;
using Kind = ReferenceKind;

Reference reference(Kind kind, std::uint64_t address, std::uint16_t size) {
    return {{address}, size, kind};
}

List read_all(TraceReader& trace) {
    List all;
    for (auto next = trace.next(); !next.empty(); next = trace.next())
        all.insert(all.end(), next.begin(), next.end());
    return all;
}

struct Read {
    List references;
    std::uint64_t skipped_lines;
    TraceFormat format;
};

Read read(const std::string& content) {
    const TemporaryFolder folder;
    const auto trace = open_trace(folder.write("trace", content), nullptr);
    List references = read_all(*trace);
    return {std::move(references), trace->skipped_lines(), trace->format()};
}

/// The message about it, after the file's name.
std::string error_of(const std::string& content) {
    const TemporaryFolder folder;
    const std::string file = folder.write("trace", content);
    try {
        read_all(*open_trace(file, nullptr));
    } catch (const UserError& error) {
        const std::string text = error.what();
        CHECK(text.substr(0, file.size() + 1) == file + ":");
        return text.substr(file.size() + 1);
    }
    return "no error";
}

std::string written(TraceFormat format, const List& list) {
    std::string content;
    const auto writer =
        make_trace_writer(format, [&](std::string_view bytes) { content += bytes; });
    // In two calls: where they are cut is not seen.
    const Reference* const first = list.data();
    writer->add({first, first + list.size() / 3});
    writer->add({first + list.size() / 3, first + list.size()});
    writer->finish();
    return content;
}

std::string zipped(const std::string& content) {
    std::string result;
    GzipWriter gzip([&](std::string_view bytes) { result += bytes; });
    gzip.write(content);
    gzip.finish();
    return result;
}

std::string bytes(std::initializer_list<unsigned> values) {
    std::string result;
    for (const unsigned value : values) result += static_cast<char>(value);
    return result;
}

std::string header() { return "mmutrace" + bytes({1, 0, 0, 0, 0, 0, 0, 0}); }
std::string end(unsigned references) {
    return bytes({0, 0, 0, 0, 8, 0, 0, 0, references, 0, 0, 0, 0, 0, 0, 0});
}

/// References of all kinds and sizes, near and far from each other.
List random_references(std::size_t count) {
    std::mt19937_64 random(5);
    std::uint64_t address = 0x400000;
    List list;
    for (std::size_t n = 0; n < count; ++n) {
        const unsigned distance = random() % 64;
        address += distance == 63 ? random() : (random() >> (distance | 16)) - 7;
        const auto size =
            static_cast<std::uint16_t>(n % 5 == 0 ? 1 + random() % 0xffff : 1 << n % 7);
        list.push_back(reference(static_cast<Kind>(random() % kReferenceKinds), address, size));
    }
    return list;
}

// ---- lackey ----

TEST_CASE("trace: lackey's text has four kinds of references", "[unit][trace]") {
    const Read seen = read(
        "I  04000a30,3\n"
        " L 1fff000d48,8\n"
        " S ffffffffffffffff,65535\n"
        " M 0,1\n");
    CHECK(seen.format == TraceFormat::kLackey);
    CHECK(seen.skipped_lines == 0);
    CHECK(seen.references ==
          List{reference(Kind::kFetch, 0x4000a30, 3), reference(Kind::kLoad, 0x1fff000d48, 8),
               reference(Kind::kStore, ~std::uint64_t{0}, 65535), reference(Kind::kModify, 0, 1)});
}

TEST_CASE("trace: lines that are no references are skipped and counted", "[unit][trace]") {
    const std::string reference_line = " S 1000,8\n";
    for (const std::string line :
         {"==12== Command: ls", "", "I  ,3", "I  12", "I  12,", "I  12,3 ", "I 12,3", "I  12g,3",
          " X 12,3", "L 12,3", " L 0x12,3", "I  12,-3", "platform I  12,3"}) {
        INFO(line);
        const Read seen = read(line + "\n" + reference_line);
        CHECK(seen.skipped_lines == 1);
        CHECK(seen.references.size() == 1);
    }
}

TEST_CASE("trace: a line of any length is one line", "[unit][trace]") {
    for (const std::size_t length : {65'535, 65'536, 65'537, 200'000}) {
        INFO(length);
        const Read seen = read(" L 1,1\n" + std::string(length, 'x') + "\n L 2,2\n");
        CHECK(seen.skipped_lines == 1);
        CHECK(seen.references == List{reference(Kind::kLoad, 1, 1), reference(Kind::kLoad, 2, 2)});
    }
    CHECK(error_of(" L 1,1\n" + std::string(200'000, 'x') + "\n L 2,0\n") ==
          "3: a reference of 0 bytes; expected 1 to 65535");
}

TEST_CASE("trace: the last line may lack its end", "[unit][trace]") {
    CHECK(read(" L 1,1\n L 2,2").references.size() == 2);
    CHECK(read(" L 1,1\n L 2").skipped_lines == 1);
}

TEST_CASE("trace: an impossible reference is an error with its line", "[unit][trace]") {
    CHECK(error_of("==1==\n L 10,0\n") == "2: a reference of 0 bytes; expected 1 to 65535");
    CHECK(error_of(" L 10,65536\n") == "1: a reference of 65536 bytes; expected 1 to 65535");
    CHECK(error_of(" L 10,4294967304\n") ==
          "1: a reference of 4294967304 bytes; expected 1 to 65535");
    CHECK(error_of(" L 10,8\n\nI  12345678123456789,8\n") ==
          "3: an address of 17 digits; expected at most 16");
}

TEST_CASE("trace: what has no reference is not a trace", "[unit][trace]") {
    const std::string expected =
        "; expected what valgrind's lackey prints with --trace-mem=yes, or a trace that 'mmusim "
        "convert' has made";
    CHECK(error_of("") == " no reference: nothing in it" + expected);
    CHECK(error_of("\x7f"
                   "ELF and so on\n\n") ==
          " no reference: none in 2 lines; the first is '?ELF and so on'" + expected);
    CHECK_THROWS_WITH(open_trace("/no/such/file", nullptr),
                      "/no/such/file: cannot open: No such file or directory");
}

// ---- binary ----

TEST_CASE("trace: the binary format is as documented byte by byte", "[unit][trace]") {
    const List list = {
        reference(Kind::kFetch, 0x1000, 3),  // two bytes: 0x2000
        reference(Kind::kFetch, 0x1003, 5),  // where it is expected
        reference(Kind::kLoad, 0x7fffffff, 8),   reference(Kind::kLoad, 0x7ffffffe, 16),
        reference(Kind::kStore, 0x80000000, 64), reference(Kind::kModify, 0x10, 13)};
    const std::string content =
        header() + bytes({6, 0, 0, 0, 2 + 4 + 1 + 10 + 10, 0, 0, 0}) +
        bytes({0x38, 0x50, 0x8d, 0xd5, 0x02, 0x03}) +         // tags
        bytes({0x00, 0x20, 0xfe, 0xff, 0xff, 0xff, 0x01}) +   // fetch and loads
        bytes({64, 0, 0x00, 0x00, 0x00, 0x80, 0, 0, 0, 0}) +  // store
        bytes({13, 0, 0x10, 0, 0, 0, 0, 0, 0, 0}) + end(6);   // modify
    CHECK(written(TraceFormat::kBinary, list) == content);
    const Read seen = read(content);
    CHECK(seen.format == TraceFormat::kBinary);
    CHECK(seen.references == list);
}

TEST_CASE("trace: what is written in any format is what is read again", "[unit][trace]") {
    for (const std::size_t count : {1, 4095, 4096, 4097, 50'000}) {
        INFO(count);
        const List list = random_references(count);
        for (const auto format : {TraceFormat::kLackey, TraceFormat::kBinary}) {
            const std::string content = written(format, list);
            CHECK(read(content).references == list);
            CHECK(read(zipped(content)).references == list);
            CHECK(read(content).format == format);
            CHECK(read(zipped(content)).format == format);
        }
    }
    CHECK(read(header() + end(0)).references.empty());
}

TEST_CASE("trace: a broken binary trace is an error with its offset", "[unit][trace]") {
    const std::string block = bytes({1, 0, 0, 0, 1, 0, 0, 0, 0x14, 0x20});  // a fetch at 0x10
    REQUIRE(read(header() + block + end(1)).references == List{reference(Kind::kFetch, 0x10, 1)});
    CHECK(error_of("mmutrace" + bytes({2, 0, 0, 0, 0, 0, 0, 0})) ==
          " offset 8: version 2 of the format; expected 1");
    CHECK(error_of("mmutrace" + bytes({1, 0, 0, 0, 7, 0, 0, 0})) ==
          " offset 12: 7 in the header; expected 0");
    CHECK(error_of("mmutrace" + bytes({1, 0, 0})) == " offset 11: the trace ends in its header");
    CHECK(error_of(header()) == " offset 16: the trace ends in the header of a block");
    CHECK(error_of(header() + bytes({1, 16, 0, 0, 0, 0, 0, 0})) ==
          " offset 16: a block of 4097 references; expected at most 4096");
    CHECK(error_of(header() + bytes({1, 0, 0, 0, 11, 0, 0, 0})) ==
          " offset 20: 11 bytes of addresses for 1 references");
    CHECK(error_of(header() + block.substr(0, 9)) == " offset 25: the trace ends in a block");
    CHECK(error_of(header() + bytes({1, 0, 0, 0, 2, 0, 0, 0, 0x14, 0x20, 0})) ==
          " offset 25: 2 bytes of addresses; the tags before them ask for 1");
    CHECK(error_of(header() + bytes({1, 0, 0, 0, 0, 0, 0, 0, 0x14})) ==
          " offset 25: 0 bytes of addresses; the tags before them ask for 1");
    CHECK(error_of(header() + bytes({2, 0, 0, 0, 10, 0, 0, 0, 0x10, 0x00}) +
                   std::string(10, '\0')) == " offset 25: tag 0x00: a long reference of 0 bytes");
    CHECK(error_of(header() + bytes({1, 0, 0, 0, 10, 0, 0, 0, 0x04}) + std::string(10, '\1')) ==
          " offset 24: tag 0x04: a long reference of 257 bytes");
    CHECK(error_of(header() + block) == " offset 26: the trace ends in the header of a block");
    CHECK(error_of(header() + block + end(2)) ==
          " offset 34: 2 references in all; the trace has 1");
    CHECK(error_of(header() + block + bytes({0, 0, 0, 0, 4, 0, 0, 0})) ==
          " offset 30: 4 bytes; expected 8");
    CHECK(error_of(header() + block + end(1).substr(0, 12)) ==
          " offset 38: the trace ends in its end");
    CHECK(error_of(header() + block + end(1) + "x") ==
          " offset 42: something follows the end of the trace");
    CHECK(error_of(zipped(header() + block)) ==
          " offset 26 of the uncompressed trace: the trace ends in the header of a block");
}

// ---- gzip ----

TEST_CASE("trace: several gzip members are one trace", "[unit][trace]") {
    CHECK(read(zipped(" L 1,1\n L 2") + zipped(",2\n")).references ==
          List{reference(Kind::kLoad, 1, 1), reference(Kind::kLoad, 2, 2)});
}

TEST_CASE("trace: broken gzip data is an error with its offset", "[unit][trace]") {
    const std::string whole = zipped(written(TraceFormat::kLackey, random_references(1000)));
    for (const std::size_t size : {std::size_t{2}, whole.size() / 2, whole.size() - 1}) {
        INFO(size);
        CHECK(error_of(whole.substr(0, size)) ==
              " the gzip data ends too early, at offset " + std::to_string(size));
    }
    std::string changed = whole;
    changed[whole.size() / 2] = static_cast<char>(~changed[whole.size() / 2]);
    CHECK_THAT(error_of(changed), Catch::StartsWith(" broken gzip data at offset "));
    CHECK_THAT(error_of(whole + "xyz"), Catch::StartsWith(" broken gzip data at offset "));
}

// ---- being stopped ----

TEST_CASE("trace: a trace that is stopped is over and not broken", "[unit][trace]") {
    const TemporaryFolder folder;
    const List list = random_references(30'000);
    for (const auto format : {TraceFormat::kLackey, TraceFormat::kBinary})
        for (const bool compressed : {false, true}) {
            const std::string content = written(format, list);
            const auto file = folder.write("trace", compressed ? zipped(content) : content);
            std::atomic<bool> stop = false;
            const auto trace = open_trace(file, &stop);
            REQUIRE_FALSE(trace->next().empty());
            stop = true;
            const List rest = read_all(*trace);
            CHECK(rest.size() < list.size());
            CHECK(trace->next().empty());
        }
}

}  // namespace
}  // namespace mmusim::platform
