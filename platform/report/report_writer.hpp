// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/color.h>
#include <fmt/format.h>

#include <string>
#include <utility>

#include "platform/report/text_report.hpp"

namespace mmusim::platform {

/// What printed reports are written with: lines without spaces at their end, headings.
class ReportWriter {
protected:
    explicit ReportWriter(Colour colour) : colour_(colour) {}

    template <class... Arguments>
    void line(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        text_ += fmt::format(format, std::forward<Arguments>(arguments)...);
        text_.erase(text_.find_last_not_of(' ') + 1);
        text_ += '\n';
    }
    std::string styled(const fmt::text_style& style, const std::string& text) const {
        return colour_ == Colour::kOn ? fmt::format(style, "{}", text) : text;
    }
    std::string bold(const std::string& text) const { return styled(fmt::emphasis::bold, text); }
    void heading(const std::string& text) { line("\n{}", bold(text)); }

    std::string text_;

private:
    const Colour colour_;
};

}  // namespace mmusim::platform
