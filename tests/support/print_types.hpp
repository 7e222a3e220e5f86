// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "rmap/types/address.hpp"
#include "rmap/types/time.hpp"

/// How failed checks show our value types.
namespace Catch {

template <>
struct StringMaker<mmusim::rmap::Duration> {
    static std::string convert(mmusim::rmap::Duration d) { return std::to_string(d.ps) + " ps"; }
};

template <>
struct StringMaker<mmusim::rmap::Instant> {
    static std::string convert(mmusim::rmap::Instant i) {
        return i == mmusim::rmap::kNever ? "never" : "@" + std::to_string(i.ps) + " ps";
    }
};

template <class Kind>
struct StringMaker<mmusim::rmap::Tagged<Kind>> {
    static std::string convert(mmusim::rmap::Tagged<Kind> t) {
        return StringMaker<unsigned long long>::convert(t.value);
    }
};

}  // namespace Catch
