// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "platform/cli/command.hpp"
#include "platform/cli/interrupt_flag.hpp"
#include "platform/cli/options.hpp"
#include "platform/cli/output_file.hpp"
#include "platform/cli/progress_bar.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/nearest_name.hpp"
#include "platform/report/text_units.hpp"
#include "platform/trace/byte_source.hpp"
#include "platform/trace/trace_reader.hpp"
#include "platform/trace/trace_writer.hpp"

namespace mmusim::platform {
namespace {

namespace fs = std::filesystem;

constexpr char kBinarySuffix[] = ".mmt";
constexpr char kTextSuffix[] = ".lackey";
constexpr char kGzipSuffix[] = ".gz";

Syntax syntax() {
    Syntax syntax;
    syntax.usage = "mmusim convert IN OUT [OPTIONS]";
    syntax.summary = fmt::format(
        "Writes the address trace IN, a file or - for standard input, as OUT. What IN is, it says\n"
        "itself: valgrind's lackey text or the binary format, plain or gzip. OUT is what it is\n"
        "named like: NAME{} binary, NAME{} text, either with {} compressed. The binary format is\n"
        "described in platform/trace/binary_format.hpp.",
        kBinarySuffix, kTextSuffix, kGzipSuffix);
    syntax.positionals = {"IN", "OUT"};
    syntax.required = 2;
    syntax.examples =
        "  valgrind --tool=lackey --trace-mem=yes ls 2>&1 | mmusim convert - ls.mmt.gz\n"
        "  mmusim convert ls.mmt.gz ls.lackey\n"
        "  mmusim convert old.trace new.trace --to binary\n";
    syntax.value("to", "lackey|binary", "format of OUT, whatever it is named");
    syntax.flag("quiet", "print nothing but errors");
    return syntax;
}

TraceFormat format_of(const ParsedOptions& given) {
    const std::string text = given.text("to");
    const std::string out = given.text("OUT");
    if (given.has("to")) {
        for (const auto format : {TraceFormat::kLackey, TraceFormat::kBinary})
            if (text == name(format)) return format;
        throw UserError(
            fmt::format("--to is '{}'; {}", text, nearest_hint(text, {"lackey", "binary"})));
    }
    const fs::path path(out);
    const auto suffix = (path.extension() == kGzipSuffix ? path.stem() : path).extension().string();
    if (suffix == kBinarySuffix) return TraceFormat::kBinary;
    if (suffix == kTextSuffix) return TraceFormat::kLackey;
    throw UserError(fmt::format("{}: no format is named like that; expected {} or {}, or --to", out,
                                kBinarySuffix, kTextSuffix));
}

void require_two_files(const std::string& in, const std::string& out) {
    std::error_code ignored;
    if (in != kStandardInput && fs::equivalent(in, out, ignored))
        throw UserError(fmt::format("{}: cannot write: it is what is read", out));
}

/// Whatever is written, to a file or compressed to it.
class Output {
public:
    Output(const std::string& path, TraceFormat format)
        : file_(path), writer_(make_trace_writer(format, to_file_or_gzip(path))) {}

    void add(References references) { writer_->add(references); }
    void finish() {
        writer_->finish();
        if (gzip_) gzip_->finish();
        file_.commit();
    }

private:
    WriteBytes to_file_or_gzip(const std::string& path) {
        const WriteBytes to_file = [this](std::string_view bytes) { file_.write(bytes); };
        if (fs::path(path).extension() != kGzipSuffix) return to_file;
        gzip_.emplace(to_file);
        return [this](std::string_view bytes) { gzip_->write(bytes); };
    }

    CompleteFile file_;
    std::optional<GzipWriter> gzip_;
    const std::unique_ptr<TraceWriter> writer_;
};

}  // namespace

ExitCode convert_command(const Arguments& arguments, Session& session) {
    const auto given = parse_options(syntax(), arguments, session.out);
    if (!given) return ExitCode::kFine;
    const TraceFormat format = format_of(*given);
    const std::string in = given->text("IN");
    const std::string out = given->text("OUT");
    require_two_files(in, out);

    const InterruptFlag interrupted;
    const auto reader = open_trace(in, &interrupted.value());
    Output output(out, format);
    std::uint64_t done = 0;
    {
        ProgressBar bar(session.err, given->flag("quiet") ? Progress::kOff : session.progress,
                        "references");
        for (auto next = reader->next(); !next.empty(); next = reader->next()) {
            output.add(next);
            done += next.size();
            bar.show(done);
        }
    }
    if (interrupted.value()) return ExitCode::kInterrupted;
    output.finish();
    if (!given->flag("quiet"))
        session.err << fmt::format("{} references, {} lines skipped\n", grouped(done),
                                   grouped(reader->skipped_lines()));
    return ExitCode::kFine;
}

}  // namespace mmusim::platform
