// SPDX-License-Identifier: Apache-2.0
#include "platform/sweep/sweep_table.hpp"

#include <fmt/color.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "platform/report/text_units.hpp"
#include "rmap/types/part.hpp"

namespace mmusim::platform {
namespace {

using Json = nlohmann::ordered_json;

enum class Cells { kText, kCount, kTime, kRatio };

/// A column of measurements: its value is taken from a point's results and its operation, which is
/// null when none was finished.
struct Measure {
    const char* name;     ///< in the CSV
    const char* heading;  ///< in the text; null: only in the CSV
    const char* unit;
    Cells cells;
    Json (*value)(const Json& results, const Json& operation);
};

template <class Key>
Json at(const Json& object, Key&& key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found == object.end() ? Json() : *found;
}

constexpr char kRounds[] = "flush_rounds";

Json counter(const Json& results, const char* name) { return at(results["counters"], name); }

std::uint64_t picoseconds(const Json& ns) {
    return static_cast<std::uint64_t>(std::llround(ns.get<double>() * 1000));
}

std::uint64_t pages_of(const Json& operation) {
    const Json pages = at(operation, "pages");
    return pages.is_null() ? 0 : pages.get<std::uint64_t>();
}

template <const char* kField>
Json operation_field(const Json&, const Json& operation) {
    return at(operation, kField);
}

template <const char* kField>
Json latency_field(const Json&, const Json& operation) {
    const Json count = at(operation, "count");
    return count.is_null() || count == 0 ? Json() : at(at(operation, "latency_ns"), kField);
}

constexpr char kCount[] = "count";
constexpr char kPages[] = "pages";
constexpr char kAbandoned[] = "abandoned";
constexpr char kMean[] = "mean";
constexpr char kP50[] = "p50";
constexpr char kP90[] = "p90";
constexpr char kP99[] = "p99";
constexpr char kMax[] = "max";
constexpr char kSum[] = "sum";

Json ns_per_page(const Json& results, const Json& operation) {
    const Json sum = latency_field<kSum>(results, operation);
    const std::uint64_t pages = pages_of(operation);
    if (sum.is_null() || pages == 0) return {};
    return static_cast<double>((picoseconds(sum) + pages / 2) / pages) / 1000;
}

Json rounds(const Json& results, const Json&) { return counter(results, kRounds); }

Json rounds_per_page(const Json& results, const Json& operation) {
    const Json count = counter(results, kRounds);
    const std::uint64_t pages = pages_of(operation);
    if (count.is_null() || pages == 0) return {};
    return count.get<double>() / static_cast<double>(pages);
}

Json violations(const Json& results, const Json&) { return violations_in(results); }

constexpr Measure kMeasures[] = {
    {"operations", "operations", "", Cells::kCount, operation_field<kCount>},
    {"pages", "pages", "", Cells::kCount, operation_field<kPages>},
    {"abandoned", "abandoned", "", Cells::kCount, operation_field<kAbandoned>},
    {"mean_ns", "mean", "us", Cells::kTime, latency_field<kMean>},
    {"p50_ns", "p50", "us", Cells::kTime, latency_field<kP50>},
    {"p90_ns", "p90", "us", Cells::kTime, latency_field<kP90>},
    {"p99_ns", "p99", "us", Cells::kTime, latency_field<kP99>},
    {"max_ns", "max", "us", Cells::kTime, latency_field<kMax>},
    {"sum_ns", nullptr, "", Cells::kTime, latency_field<kSum>},
    {"ns_per_page", "time/page", "us", Cells::kTime, ns_per_page},
    {kRounds, "flush rounds", "", Cells::kCount, rounds},
    {"flush_rounds_per_page", "rounds/page", "", Cells::kRatio, rounds_per_page},
    {"violations", "violations", "", Cells::kCount, violations},
};

constexpr char kPoint[] = "point";
constexpr std::string_view kPartPrefix = "part_";
constexpr std::string_view kCounterPrefix = "counter_";

struct Column {
    std::string name;
    std::string heading;  ///< empty: only in the CSV
    std::string unit;
    Cells cells = Cells::kText;
    std::vector<Json> values;  ///< by point
};

/// All columns, in the order of the CSV.
class Columns {
public:
    explicit Columns(const FinishedSweep& sweep) : sweep_(sweep) {
        for (const auto& results : sweep.results) operations_.push_back(operation_in(results));
        add({kPoint, "", "", Cells::kText, {}}, [&](std::size_t i) -> Json { return name(i); });
        for (std::size_t a = 0; a < sweep.config.axes.size(); ++a) {
            const std::string& axis = sweep.config.axes[a].name;
            add({axis, axis, "", Cells::kText, {}},
                [&](std::size_t i) -> Json { return sweep.points[i].values[a]; });
        }
        for (const auto& measure : kMeasures)
            add({measure.name,
                 measure.heading ? measure.heading : "",
                 measure.unit,
                 measure.cells,
                 {}},
                [&](std::size_t i) { return measure.value(sweep.results[i], operations_[i]); });
        add_parts();
        add_counters();
    }

    const std::vector<Column>& all() const { return columns_; }
    const Json& operation(std::size_t point) const { return operations_[point]; }

private:
    template <class Value>
    void add(Column column, Value&& value) {
        for (std::size_t i = 0; i < sweep_.points.size(); ++i) column.values.push_back(value(i));
        columns_.push_back(std::move(column));
    }

    Json operation_in(const Json& results) const {
        const std::string_view wanted = rmap::name(sweep_.config.operation);
        for (const auto& operation : results["operations"])
            if (operation["name"] == wanted) return operation;
        return {};
    }

    const std::string& name(std::size_t point) const { return sweep_.points[point].name; }

    /// A part that took no time is not in the results.
    void add_parts() {
        for (const auto& part : rmap::kPartTable)
            add({fmt::format("{}{}_ns", kPartPrefix, part.name), "", "", Cells::kTime, {}},
                [&](std::size_t i) -> Json {
                    if (operations_[i].is_null()) return {};
                    const Json time = at(operations_[i]["parts_ns"], std::string(part.name));
                    return time.is_null() ? Json(0.0) : time;
                });
    }

    void add_counters() {
        for (const auto& [counted, ignored] : sweep_.results.front()["counters"].items())
            if (counted != kRounds)
                add({std::string(kCounterPrefix) + counted, "", "", Cells::kCount, {}},
                    [&, key = counted](std::size_t i) {
                        return counter(sweep_.results[i], key.c_str());
                    });
    }

    const FinishedSweep& sweep_;
    std::vector<Json> operations_;
    std::vector<Column> columns_;
};

// ---- CSV (RFC 4180, with \n) ----

std::string csv_cell(const Json& value) {
    if (value.is_null()) return {};
    if (!value.is_string()) return value.dump();
    const auto& text = value.get_ref<const std::string&>();
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + '"';
}

// ---- text ----

std::string text_cell(const Column& column, const Json& value) {
    if (value.is_null()) return "-";
    switch (column.cells) {
        case Cells::kText:
            return value.get<std::string>();
        case Cells::kCount:
            return grouped(value.get<std::uint64_t>());
        case Cells::kTime:
            return ticks_text((picoseconds(value) + 500) / 1000, 3);
        case Cells::kRatio:
            return fmt::format("{:.4g}", value.get<double>());
    }
    return {};
}

bool is_equal_everywhere(const Column& column) {
    return std::all_of(column.values.begin(), column.values.end(),
                       [&](const Json& value) { return value == column.values.front(); });
}

std::string with_unit(const Column& column) {
    const std::string cell = text_cell(column, column.values.front());
    return fmt::format("{} {}{}{}", column.heading, cell, column.unit.empty() ? "" : " ",
                       column.unit);
}

constexpr std::size_t kHeading = 2;

/// Right-aligned cells; a row for each point below the two of the heading, in blocks of so many.
class TextTable {
public:
    TextTable(std::size_t points, std::size_t block) : rows_(points + kHeading), block_(block) {}

    void add(const Column& column) {
        std::vector<std::string> cells{column.heading, column.unit};
        for (const auto& value : column.values) cells.push_back(text_cell(column, value));
        std::size_t width = 0;
        for (const auto& cell : cells) width = std::max(width, cell.size());
        for (std::size_t i = 0; i < cells.size(); ++i)
            rows_[i] += fmt::format("  {:>{}}", cells[i], width);
    }

    std::string text(Colour colour) const {
        std::string result;
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            const std::string row = rows_[i].substr(0, rows_[i].find_last_not_of(' ') + 1);
            if (i > kHeading && (i - kHeading) % block_ == 0) result += '\n';
            const bool heading = i < kHeading && colour == Colour::kOn;
            result += heading ? fmt::format(fmt::emphasis::bold, "{}", row) : row;
            result += '\n';
        }
        return result;
    }

private:
    std::vector<std::string> rows_;
    const std::size_t block_;
};

std::string verdict(const FinishedSweep& sweep, Colour colour) {
    std::size_t unsafe = 0;
    for (const auto& results : sweep.results) unsafe += violations_in(results) > 0;
    const std::string text =
        unsafe ? fmt::format("UNSAFE: {} of {} points", unsafe, sweep.points.size())
               : fmt::format("safe: no violation in {} points", sweep.points.size());
    if (colour == Colour::kOff) return text;
    return unsafe ? fmt::format(fg(fmt::terminal_color::red) | fmt::emphasis::bold, "{}", text)
                  : fmt::format(fg(fmt::terminal_color::green), "{}", text);
}

}  // namespace

bool is_measured_column(std::string_view name) {
    if (name == kPoint || name.substr(0, kPartPrefix.size()) == kPartPrefix ||
        name.substr(0, kCounterPrefix.size()) == kCounterPrefix)
        return true;
    return std::any_of(std::begin(kMeasures), std::end(kMeasures),
                       [name](const Measure& measure) { return name == measure.name; });
}

std::uint64_t violations_in(const Json& results) {
    return at(results["oracle"], "violations_found").get<std::uint64_t>();
}

std::vector<std::string> hazards_in(const Json& results) {
    std::vector<std::string> ids;
    for (const auto& hazard : at(results["oracle"], "hazards"))
        ids.push_back(hazard["id"].get<std::string>());
    return ids;
}

std::string sweep_csv(const FinishedSweep& sweep) {
    const Columns columns(sweep);
    std::string text;
    const auto line = [&](auto&& cell) {
        std::string row;
        for (const auto& column : columns.all())
            row += (&column == &columns.all().front() ? "" : ",") + cell(column);
        text += row + '\n';
    };
    line([](const Column& column) { return csv_cell(column.name); });
    for (std::size_t i = 0; i < sweep.points.size(); ++i)
        line([i](const Column& column) { return csv_cell(column.values[i]); });
    return text;
}

Json sweep_json(const FinishedSweep& sweep) {
    const Columns columns(sweep);
    Json json;
    json["mmusim"] = MMUSIM_VERSION;
    json["sweep"] = sweep.config.name;
    json["description"] = sweep.config.description;
    json["platform"] = sweep.results.front()["platform"];
    json["scenario"] = sweep.results.front()["scenario"];
    json["seed"] = sweep.seed;
    json["operation"] = rmap::name(sweep.config.operation);
    json["axes"] = Json::array();
    for (const auto& axis : sweep.config.axes) {
        Json names = Json::array();
        for (const auto& point : axis.points) names.push_back(point.name);
        json["axes"].push_back({{"name", axis.name}, {"label", axis.label}, {"points", names}});
    }
    json["points"] = Json::array();
    for (std::size_t i = 0; i < sweep.points.size(); ++i) {
        const Json& results = sweep.results[i];
        const Json& operation = columns.operation(i);
        Json place;
        for (std::size_t a = 0; a < sweep.config.axes.size(); ++a)
            place[sweep.config.axes[a].name] = sweep.points[i].values[a];
        json["points"].push_back({{kPoint, sweep.points[i].name},
                                  {"at", place},
                                  {"operation", operation},
                                  {"ns_per_page", ns_per_page(results, operation)},
                                  {"flush_rounds_per_page", rounds_per_page(results, operation)},
                                  {"violations", violations_in(results)},
                                  {"counters", results["counters"]}});
    }
    return json;
}

std::string sweep_text(const FinishedSweep& sweep, Colour colour) {
    const Columns columns(sweep);
    const std::size_t first_axis = sweep.config.axes.front().points.size();
    TextTable table(sweep.points.size(), first_axis > 1 ? first_axis : sweep.points.size());
    std::string equal;
    for (const auto& column : columns.all()) {
        if (column.heading.empty()) continue;
        if (sweep.points.size() > 1 && is_equal_everywhere(column))
            equal += (equal.empty() ? "" : ", ") + with_unit(column);
        else
            table.add(column);
    }
    std::string text = fmt::format(
        "{}: {} of {} on {}\nmmusim " MMUSIM_VERSION ", seed {}, {} points\n", sweep.config.name,
        rmap::name(sweep.config.operation), sweep.results.front()["scenario"].get<std::string>(),
        sweep.results.front()["platform"].get<std::string>(), sweep.seed, sweep.points.size());
    if (!equal.empty()) text += fmt::format("In all points: {}\n", equal);
    return text + '\n' + table.text(colour) + '\n' + verdict(sweep, colour) + '\n';
}

}  // namespace mmusim::platform
