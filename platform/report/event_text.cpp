// SPDX-License-Identifier: Apache-2.0
#include "platform/report/event_text.hpp"

#include <fmt/format.h>

namespace mmusim::platform {

std::string text(rmap::Duration duration) {
    std::string digits = fmt::format("{}.{:03}", duration.ps / 1000, duration.ps % 1000);
    digits.erase(digits.find_last_not_of('0') + 1);
    if (digits.back() == '.') digits.pop_back();
    return digits + " ns";
}

std::string text(rmap::Instant instant) { return text(rmap::Duration{instant.ps}); }

std::string text(rmap::VirtRange range) {
    if (range == rmap::kAllAddresses) return "everything";
    return fmt::format("[{:#x}, {:#x})", range.start.value, range.end.value);
}

std::string hex(std::uint64_t value) { return fmt::format("{:#x}", value); }

std::string translation_text(rmap::MmId mm, rmap::VirtAddr address, rmap::FrameNumber frame,
                             std::uint64_t generation) {
    return fmt::format("mm {} va {} -> pfn {} gen {}", mm, hex(address.value), hex(frame.value),
                       generation);
}

std::string cleared_translation(const rmap::EventRecord& record) {
    const auto& arguments = record.arguments;  // mm addr ptep pte pfn generation
    return translation_text(arguments[0], {arguments[1]}, {arguments[4]}, arguments[5]);
}

std::string operation_text(rmap::OperationId operation) {
    if (operation == 0) return "none";
    const rmap::OperationId count = operation & (rmap::operation_id(0, 0) - 1);
    return fmt::format("{}.{}", operation / rmap::operation_id(0, 0) - 1, count);
}

}  // namespace mmusim::platform
