// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rmap/types/time.hpp"

namespace mmusim::platform {

/// How times of some magnitude are printed: whole ticks with a decimal point among the digits.
struct TimeUnit {
    std::string_view name;  ///< "ns"
    std::uint64_t tick_ps;  ///< of the last digit
    unsigned decimals;
    std::uint64_t below_ps;  ///< used for times less than this
};

/// One unit for all parts of a time, so that they can be compared at sight.
const TimeUnit& column_unit(rmap::Duration whole);

/// 1234 ticks of hundredths: "12.34".
std::string ticks_text(std::uint64_t ticks, unsigned decimals);

/// "12.345 us", rounded to the unit's last digit.
std::string readable(rmap::Duration time);

/// 1234567: "1,234,567".
std::string grouped(std::uint64_t number);

/// Of pages of 4 KiB << order: "2M", as in platform files.
std::string page_size_text(unsigned order);

/// 100 * part / whole with one decimal, "12.3 %"; "-" when the whole is 0.
std::string percent_text(std::uint64_t part, std::uint64_t whole);

/// At most `width` characters of a sentence, cut between words.
std::string shortened(std::string_view sentence, std::size_t width);

}  // namespace mmusim::platform
