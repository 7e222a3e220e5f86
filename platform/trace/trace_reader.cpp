// SPDX-License-Identifier: Apache-2.0
#include "platform/trace/trace_reader.hpp"

#include "platform/trace/binary_format.hpp"
#include "platform/trace/binary_reader.hpp"
#include "platform/trace/byte_source.hpp"
#include "platform/trace/lackey_reader.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::platform {

const char* name(TraceFormat format) {
    switch (format) {
        case TraceFormat::kLackey:
            return "lackey";
        case TraceFormat::kBinary:
            return "binary";
    }
    MMUSIM_CHECK(false, "a format has a name");
}

std::unique_ptr<TraceReader> open_trace(const std::string& path, const std::atomic<bool>* stop) {
    auto source = std::make_unique<ByteSource>(path, stop);
    if (source->peek(kBinaryMagic.size()) == kBinaryMagic)
        return std::make_unique<BinaryReader>(std::move(source));
    return std::make_unique<LackeyReader>(std::move(source));
}

}  // namespace mmusim::platform
