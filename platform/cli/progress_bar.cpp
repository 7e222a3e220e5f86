// SPDX-License-Identifier: Apache-2.0
#include "platform/cli/progress_bar.hpp"

#include <fmt/format.h>

#include <string>

namespace mmusim::platform {
namespace {

constexpr std::uint64_t kWidth = 40;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr char kWipe[] = "\r\x1b[K";

}  // namespace

ProgressBar::~ProgressBar() {
    if (visible_) out_ << kWipe << std::flush;
}

void ProgressBar::show(std::uint64_t done, std::uint64_t total) {
    const auto now = Clock::now();
    if (progress_ == Progress::kOff || total == 0 || now - drawn_ < kRedraw) return;
    drawn_ = now;
    visible_ = true;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = static_cast<double>(done) / seconds;
    const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
    const std::string filled(done * kWidth / total, '#');
    out_ << kWipe
         << fmt::format("[{:-<{}}] {}/{} {}, {:.1f} per s, {:.0f} s left", filled, kWidth, done,
                        total, items_, rate, left)
         << std::flush;
}

}  // namespace mmusim::platform
