// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <type_traits>

#include "platform/oracle/vocabulary.hpp"

namespace mmusim::platform {

/// Makes one for a row of a table. A constructor that takes a Vocabulary is given it.
template <class Interface, class Class>
std::unique_ptr<Interface> make_monitor(Vocabulary vocabulary) {
    if constexpr (std::is_constructible_v<Class, Vocabulary>)
        return std::make_unique<Class>(vocabulary);
    else
        return static_cast<void>(vocabulary), std::make_unique<Class>();
}

}  // namespace mmusim::platform
