// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "platform/cli/command.hpp"
#include "platform/cli/config_files.hpp"
#include "platform/cli/options.hpp"
#include "platform/config/config_error.hpp"
#include "platform/config/config_show.hpp"
#include "platform/config/load_config.hpp"
#include "platform/config/nearest_name.hpp"

namespace mmusim::platform {
namespace {

Syntax syntax() {
    Syntax syntax;
    syntax.usage = "mmusim config show PLATFORM [SCENARIO] [OPTIONS]";
    syntax.summary =
        "Prints every value that a run would use and where it was written, then the time after\n"
        "which one core can notice another, from which the automatic quantum follows.\n"
        "The output can be read back: mmusim run FILE FILE.";
    syntax.positionals = {"ACTION", "PLATFORM", "SCENARIO"};
    syntax.required = 2;
    syntax.examples =
        "  mmusim config show skylake-sp-2s\n"
        "  mmusim config show skylake-sp-2s reclaim-anon --set process.main.threads=27\n"
        "  mmusim config show laptop munmap > both.toml && mmusim run both.toml both.toml\n";
    syntax.values("set", "KEY=VALUE", "change one key of either file; may be repeated");
    syntax.value("format", "text|json", "text", "text is TOML");
    return syntax;
}

}  // namespace

ExitCode config_command(const Arguments& arguments, Session& session) {
    const auto given = parse_options(syntax(), arguments, session.out);
    if (!given) return ExitCode::kFine;
    const std::string action = given->text("ACTION");
    if (action != "show")
        throw UserError(
            fmt::format("unknown action '{}'; {}", action, nearest_hint(action, {"show"})));
    const OutputFormat format = parse_format(given->text("format"));
    ConfigRequest request;
    request.platform_file = find_config(ConfigKind::kPlatform, given->text("PLATFORM"));
    if (given->has("SCENARIO"))
        request.scenario_file = find_config(ConfigKind::kScenario, given->text("SCENARIO"));
    request.settings = given->texts("set");
    request.mechanisms = mechanism_names();

    const LoadedConfig config = load_config(request);
    if (format == OutputFormat::kText) {
        session.out << config_toml(config.effective, config.platform);
        return ExitCode::kFine;
    }
    nlohmann::ordered_json json;
    json["config"] = config_json(config.effective);
    json["lookahead"] = lookahead_json(config.platform);
    session.out << json.dump(2) << '\n';
    return ExitCode::kFine;
}

}  // namespace mmusim::platform
