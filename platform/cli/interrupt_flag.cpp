// SPDX-License-Identifier: Apache-2.0
#include "platform/cli/interrupt_flag.hpp"

#include <csignal>

namespace mmusim::platform {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only use such");

}  // namespace

InterruptFlag::InterruptFlag() {
    interrupted = false;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int number : kSignals) ::sigaction(number, &action, nullptr);
}

InterruptFlag::~InterruptFlag() {
    for (const int number : kSignals) std::signal(number, SIG_DFL);
}

const std::atomic<bool>& InterruptFlag::value() const { return interrupted; }

}  // namespace mmusim::platform
