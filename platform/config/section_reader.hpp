// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/config/config_node.hpp"
#include "platform/config/effective_config.hpp"
#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// Smallest and largest value that makes sense.
struct CountRange {
    std::uint64_t least = 0;
    std::uint64_t most = 0;
};

enum class Need { kRequired, kOptional };
enum class Zero { kAllowed, kForbidden };

/// What the sections of one tree have in common while it is read.
struct ReadContext {
    std::string file;  ///< the one named on the command line, for what is missing
    EffectiveConfig& effective;
    std::uint64_t clock_khz =
        0;  ///< converts cycles; 0: only ns is understood, and needs no `from`
    std::optional<ConfigError> missing{};  ///< the first key that is not there
};

/// A row of the table of names that an enumeration has in the files.
template <class Enum>
struct NamedValue {
    std::string_view name;
    Enum value;
};

/// Reads one section of a configuration. The schemas call it with each key once: name, type,
/// range, meaning, and the field that the value goes to. A key that is not there leaves the field
/// as it is. All throw ConfigError.
class SectionReader {
public:
    /// `member` is null when the section is not there. `path` is its full name, "" for the root.
    SectionReader(ReadContext& context, const ConfigNode::Member* member, std::string path);

    /// Somebody has written this section.
    bool is_there() const { return member_ != nullptr; }

    /// The section has a `from` key, and its plain numbers need one.
    void has_provenance();

    template <class Count>
    void count(std::string_view key, Count& field, CountRange range, std::string_view meaning,
               Need need = Need::kRequired) {
        field = static_cast<Count>(read_count(key, field, range, meaning, need));
    }
    /// A number of MHz, kept in kHz.
    void clock(std::string_view key, std::uint64_t& khz, std::string_view meaning);
    void flag(std::string_view key, bool& field, std::string_view meaning);
    void text(std::string_view key, std::string& field, std::string_view meaning,
              Need need = Need::kOptional);
    /// One of some names.
    void name(std::string_view key, std::string& field, const std::vector<std::string>& names,
              std::string_view meaning, Need need = Need::kOptional);
    template <class Enum, std::size_t kCount>
    void choice(std::string_view key, Enum& field, const NamedValue<Enum> (&rows)[kCount],
                std::string_view meaning, Need need = Need::kOptional) {
        std::vector<std::string> names;
        std::string chosen;
        for (const auto& row : rows) {
            names.emplace_back(row.name);
            if (row.value == field) chosen = row.name;
        }
        name(key, chosen, names, meaning, need);
        for (const auto& row : rows)
            if (row.name == chosen) field = row.value;
    }
    /// `{ cycles = 12, from = "..." }` or `{ ns = 1.5, from = "..." }`.
    void time(std::string_view key, rmap::Duration& field, Zero zero, std::string_view meaning,
              Need need = Need::kRequired);
    /// A square array of arrays of `size` whole numbers.
    void matrix(std::string_view key, std::vector<std::vector<unsigned>>& field, unsigned size,
                CountRange range, std::string_view meaning);

    /// Name of a file that exists, relative to the file that says so; `field` becomes its path.
    void file(std::string_view key, std::string& field, std::string_view meaning,
              Need need = Need::kRequired);
    /// An array of strings. The elements keep their places.
    void texts(std::string_view key, std::vector<ConfigNode>& field, std::string_view meaning,
               Need need = Need::kOptional);
    /// An array of some of these names, with at least one element.
    template <class Enum, std::size_t kCount>
    void choices(std::string_view key, std::vector<Enum>& field,
                 const NamedValue<Enum> (&rows)[kCount], std::string_view meaning) {
        std::vector<std::string> names;
        for (const auto& row : rows) names.emplace_back(row.name);
        field.clear();
        for (const std::string& chosen : names_in(key, names, meaning))
            for (const auto& row : rows)
                if (row.name == chosen) field.push_back(row.value);
    }
    /// An array of strings, numbers, or true and false, with at least one element.
    void values(std::string_view key, std::vector<ConfigNode>& field, std::string_view meaning,
                Need need = Need::kOptional);

    /// Where the section begins, and where the value of a key of it stands; nowhere for what is
    /// not there.
    Position position() const { return member_ ? member_->position : Position{}; }
    Position value_position(std::string_view key) const;

    SectionReader section(std::string_view key);
    /// Names of the sections in this one, in the order of the file, for tables such as
    /// [process.NAME]; `what` says what they are. The command line cannot add to them.
    std::vector<std::string> entries(std::string_view what);

    /// To be called when all keys are read; reports those that are unknown. The root's, which is
    /// the last, then reports the first missing one of any section.
    void finish();

private:
    const ConfigNode::Member* take(std::string_view key, Need need, const std::string& expected);
    std::uint64_t read_count(std::string_view key, std::uint64_t fallback, CountRange range,
                             std::string_view meaning, Need need);
    void keep(std::string_view key, const ConfigNode::Member* member, ConfigNode fallback);
    std::vector<std::string> names_in(std::string_view key, const std::vector<std::string>& names,
                                      std::string_view meaning);
    template <class IsElement>
    const ConfigNode::Array* take_array(std::string_view key, Need need,
                                        const std::string& expected, IsElement&& is_element);
    std::string plain_provenance(std::string_view key, const ConfigNode& node) const;
    const ConfigNode::Member& number_of(const ConfigNode& quantity, std::string_view key,
                                        const std::string& expected) const;
    std::string quantity_provenance(const ConfigNode& quantity, std::string_view key) const;
    rmap::Duration duration_of(const ConfigNode::Member& number, std::string_view key, Zero zero,
                               std::string_view meaning) const;
    std::string time_expected(std::string_view meaning) const;
    std::string full(std::string_view key) const;
    [[noreturn]] void wrong_type(const ConfigNode& node, std::string_view key,
                                 const std::string& expected) const;

    ReadContext& context_;
    const ConfigNode::Member* member_;
    std::string path_;
    bool has_provenance_ = false;
    std::vector<std::string> known_;
};

}  // namespace mmusim::platform
