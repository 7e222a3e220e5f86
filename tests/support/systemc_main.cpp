// SPDX-License-Identifier: Apache-2.0
// Runs the cases that may elaborate SystemC modules. A SystemC warning fails the running case:
// most of them (duplicate names, ignored notifications) mean that the model is not what it seems.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <systemc>

#include "tests/support/catch_session.hpp"

namespace {

// Message identifiers that do not fail a case, each with its reason.
const std::array<const char*, 1> kIgnoredWarnings = {
    // A case that runs past the last event asks whether nothing more happens.
    sc_core::SC_ID_NO_SC_START_ACTIVITY_,
};

bool warned_outside_cases = false;

bool is_ignored(const sc_core::sc_report& report) {
    return std::any_of(kIgnoredWarnings.begin(), kIgnoredWarnings.end(), [&report](const char* id) {
        return std::strcmp(id, report.get_msg_type()) == 0;
    });
}

void fail_on_warning(const sc_core::sc_report& report, const sc_core::sc_actions& actions) {
    if (report.get_severity() != sc_core::SC_WARNING) {
        sc_core::sc_report_handler::default_handler(report, actions);
        return;
    }
    if (is_ignored(report)) return;
    // Modules destroyed after the last case report when Catch has no case left to blame.
    if (Catch::getCurrentContext().getResultCapture() == nullptr) {
        sc_core::sc_report_handler::default_handler(report, actions);
        warned_outside_cases = true;
        return;
    }
    FAIL_CHECK("SystemC warning " << report.get_msg_type() << ": " << report.get_msg());
}

}  // namespace

int sc_main(int argc, char* argv[]) {
    sc_core::sc_report_handler::set_handler(fail_on_warning);
    const int result = mmusim::test::run_cases(argc, argv);
    return result == 0 && warned_outside_cases ? 1 : result;
}
