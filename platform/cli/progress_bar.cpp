// SPDX-License-Identifier: Apache-2.0
#include "platform/cli/progress_bar.hpp"

#include <fmt/format.h>

#include <string>

#include "platform/report/text_units.hpp"

namespace mmusim::platform {
namespace {

constexpr std::uint64_t kWidth = 40;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr char kWipe[] = "\r\x1b[K";

}  // namespace

ProgressBar::~ProgressBar() {
    if (visible_) out_ << kWipe << std::flush;
}

bool ProgressBar::due() {
    const auto now = Clock::now();
    if (progress_ == Progress::kOff || now - drawn_ < kRedraw) return false;
    drawn_ = now;
    return true;
}

void ProgressBar::draw(const std::string& line) {
    visible_ = true;
    out_ << kWipe << line << std::flush;
}

double ProgressBar::rate(std::uint64_t done) const {
    return static_cast<double>(done) / std::chrono::duration<double>(drawn_ - begin_).count();
}

void ProgressBar::show(std::uint64_t done, std::uint64_t total) {
    if (total == 0 || !due()) return;
    const double left = done > 0 ? static_cast<double>(total - done) / rate(done) : 0;
    const std::string filled(done * kWidth / total, '#');
    draw(fmt::format("[{:-<{}}] {}/{} {}, {:.1f} per s, {:.0f} s left", filled, kWidth, done, total,
                     items_, rate(done), left));
}

void ProgressBar::show(std::uint64_t done) {
    if (!due()) return;
    draw(fmt::format("{} {}, {:.1f} million per s", grouped(done), items_, rate(done) / 1e6));
}

}  // namespace mmusim::platform
