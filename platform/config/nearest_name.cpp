// SPDX-License-Identifier: Apache-2.0
#include "platform/config/nearest_name.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace mmusim::platform {
namespace {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last;
    std::vector<std::size_t> last(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::vector<std::size_t> row(b.size() + 1);
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
        before_last = std::move(last);
        last = std::move(row);
    }
    return last.back();
}

/// What a user who meant `name` may have typed: a few letters wrong, or only its beginning.
bool is_near(std::string_view word, std::string_view name, std::size_t distance) {
    const bool begins = word.size() >= 2 && name.substr(0, word.size()) == word;
    return begins || distance <= std::max<std::size_t>(2, std::max(word.size(), name.size()) / 3);
}

}  // namespace

std::string nearest_name(std::string_view word, const std::vector<std::string>& names) {
    const std::string* best = nullptr;
    std::size_t best_distance = 0;
    for (const auto& name : names) {
        const std::size_t distance = edit_distance(word, name);
        if (!is_near(word, name, distance)) continue;
        if (best && distance >= best_distance) continue;
        best = &name;
        best_distance = distance;
    }
    return best ? *best : std::string();
}

std::string nearest_hint(std::string_view word, const std::vector<std::string>& names) {
    if (names.empty()) return "there are none";
    const std::string nearest = nearest_name(word, names);
    if (!nearest.empty()) return fmt::format("nearest is '{}'", nearest);
    return fmt::format("valid are '{}'", fmt::join(names, "', '"));
}

}  // namespace mmusim::platform
