// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

#include "platform/cli/command.hpp"

namespace mmusim::platform {

/// One line that is drawn over and over: share done, rate, estimated time left. Wiped at the end.
class ProgressBar {
public:
    /// `items` is what is counted, in the plural.
    ProgressBar(std::ostream& out, Progress progress, const char* items)
        : out_(out), progress_(progress), items_(items) {}
    ~ProgressBar();
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    void show(std::uint64_t done, std::uint64_t total);
    /// When nobody knows how many there are: count and rate.
    void show(std::uint64_t done);

private:
    using Clock = std::chrono::steady_clock;

    /// Whether it is time to draw again.
    bool due();
    void draw(const std::string& line);
    double rate(std::uint64_t done) const;  ///< per second

    std::ostream& out_;
    const Progress progress_;
    const char* const items_;
    const Clock::time_point begin_ = Clock::now();
    Clock::time_point drawn_ = begin_;
    bool visible_ = false;
};

}  // namespace mmusim::platform
