// SPDX-License-Identifier: Apache-2.0
#include "platform/report/text_units.hpp"

#include <fmt/format.h>

#include <cstddef>

namespace mmusim::platform {
namespace {

constexpr std::uint64_t kNs = 1'000;
constexpr std::uint64_t kUs = 1'000 * kNs;
constexpr std::uint64_t kMs = 1'000 * kUs;

/// For a column of parts: small ones keep their digits.
constexpr TimeUnit kColumnUnits[] = {{"ns", kNs / 10, 1, 10 * kUs},
                                     {"us", kUs / 100, 2, 10 * kMs},
                                     {"ms", kMs / 100, 2, ~std::uint64_t{0}}};

/// For a time on its own.
constexpr TimeUnit kUnits[] = {{"ns", kNs / 10, 1, kUs},
                               {"us", kNs, 3, kMs},
                               {"ms", kUs, 3, 1'000 * kMs},
                               {"s", kMs, 3, ~std::uint64_t{0}}};

template <std::size_t kCount>
const TimeUnit& unit_in(const TimeUnit (&units)[kCount], rmap::Duration time) {
    for (const auto& unit : units)
        if (time.ps < unit.below_ps) return unit;
    return units[kCount - 1];
}

}  // namespace

const TimeUnit& column_unit(rmap::Duration whole) { return unit_in(kColumnUnits, whole); }

std::string ticks_text(std::uint64_t ticks, unsigned decimals) {
    std::uint64_t scale = 1;
    for (unsigned i = 0; i < decimals; ++i) scale *= 10;
    return fmt::format("{}.{:0{}}", ticks / scale, ticks % scale, decimals);
}

std::string readable(rmap::Duration time) {
    const TimeUnit& unit = unit_in(kUnits, time);
    const std::uint64_t ticks = (time.ps + unit.tick_ps / 2) / unit.tick_ps;
    return fmt::format("{} {}", ticks_text(ticks, unit.decimals), unit.name);
}

std::string grouped(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
    return text;
}

std::string page_size_text(unsigned order) {
    std::uint64_t kib = std::uint64_t{4} << order;
    std::size_t unit = 0;
    for (; kib >= 1024; kib /= 1024) ++unit;
    return std::to_string(kib) + "KMGTPE"[unit];
}

std::string percent_text(std::uint64_t part, std::uint64_t whole) {
    if (whole == 0) return "-";
    const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    return fmt::format("{:.1f} %", percent);
}

std::string shortened(std::string_view sentence, std::size_t width) {
    if (sentence.size() <= width) return std::string(sentence);
    const std::size_t end = sentence.rfind(' ', width - 4);
    return std::string(sentence.substr(0, end)) + " ...";
}

}  // namespace mmusim::platform
