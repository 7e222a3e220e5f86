// SPDX-License-Identifier: Apache-2.0
// A guest that faults while its pages are being moved, by two CPUs at once, so that two notifier
// sections of its process are open at the same time.
#include <catch2/catch.hpp>

#include <array>
#include <map>
#include <sstream>

#include "models/observe/settled_stream.hpp"
#include "platform/run/run.hpp"
#include "tests/support/child_run.hpp"
#include "tests/support/hammer.hpp"

namespace mmusim::test {

namespace {

using rmap::Event;

/// Where in the life of a page's section a guest's fault on that page finds itself, when it has
/// read the client's sequence.
enum Window { kBeforeStart, kStartToClear, kClearToEnd, kAfterEnd, kWindows };

/// Watches sections, clears, and the faults of guests.
class WindowCounter final : public models::EventSink {
public:
    void on_record(const rmap::EventRecord& record) override {
        const auto& a = record.arguments;
        switch (record.event) {
            case Event::kMnStartRet:
                open_[{record.actor, a[1]}] = {a[1], a[2], false};
                break;
            case Event::kPtepClearFlush:
                for (auto& [key, section] : open_)
                    if (section.start <= a[1] && a[1] < section.end) section.cleared = true;
                break;
            case Event::kMnEnd:
                open_.erase({record.actor, a[1]});
                ended_[a[1]] = true;
                break;
            case Event::kKvmSequenceRead:
                faults_[record.actor] = {a[2], window_of(a[2]), open_.size()};
                break;
            case Event::kKvmRetry:
                count(record.actor, retried_);
                break;
            case Event::kSpteSet:
                if (open_.empty())
                    count(record.actor, installed_);
                else
                    ++installed_inside_;
                break;
            default:
                break;
        }
    }

    std::string text() const {
        std::ostringstream out;
        out << installed_inside_;
        for (const auto n : retried_) out << ' ' << n;
        for (const auto n : installed_) out << ' ' << n;
        out << ' ' << two_open_;
        return out.str();
    }

private:
    struct Section {
        std::uint64_t start, end;
        bool cleared;
    };
    struct Fault {
        std::uint64_t address = 0;
        Window window = kBeforeStart;
        std::size_t open = 0;
    };
    using Counts = std::array<std::uint64_t, kWindows>;

    Window window_of(std::uint64_t address) const {
        for (const auto& [key, section] : open_)
            if (section.start <= address && address < section.end)
                return section.cleared ? kClearToEnd : kStartToClear;
        return ended_.count(address) ? kAfterEnd : kBeforeStart;
    }
    void count(rmap::ActorId actor, Counts& counts) {
        const Fault& fault = faults_[actor];
        ++counts[fault.window];
        if (fault.open >= 2) ++two_open_;
    }

    std::map<std::pair<rmap::ActorId, std::uint64_t>, Section> open_;
    std::map<std::uint64_t, bool> ended_;
    std::map<rmap::ActorId, Fault> faults_;
    Counts retried_{}, installed_{};
    std::uint64_t installed_inside_ = 0;
    std::uint64_t two_open_ = 0;
};

struct Seen {
    std::string failure;
    std::uint64_t violations = 0;
    std::uint64_t installed_inside = 0;
    std::array<std::uint64_t, kWindows> retried{}, installed{};
    std::uint64_t two_open = 0;  ///< faults that found two sections open
};

Seen run_with_windows(const Hammer& hammer) {
    const std::string text = run_in_child([&] {
        WindowCounter windows;
        platform::RunProbes probes;
        probes.events = &windows;
        const auto result = platform::run_platform(hammer.platform, hammer.scenario,
                                                   platform::RunOptions{}, probes);
        return std::to_string(result.oracle.violations_found) + ' ' + windows.text();
    });
    Seen seen;
    std::istringstream in(text);
    if (!(in >> seen.violations >> seen.installed_inside)) seen.failure = text;
    for (auto& n : seen.retried) in >> n;
    for (auto& n : seen.installed) in >> n;
    in >> seen.two_open;
    return seen;
}

/// Two CPUs move the same guest's pages to and fro.
Hammer two_movers(unsigned vcpus) {
    Hammer hammer = small_hammer(2 + vcpus, 2);
    auto& scenario = hammer.scenario;
    scenario.operations[0].type = platform::OperationType::kMovePages;
    scenario.operations[0].to_node = scenario.operations[1].to_node;
    scenario.operations[1].region = "cold";
    scenario.regions[1].in_use = true;
    for (auto& operation : scenario.operations) operation.rounds = 6;
    add_guest(hammer, vcpus);
    return hammer;
}

}  // namespace

TEST_CASE(
    "section windows: a guest that faults in any window retries or faults again, and never "
    "gets a stale page",
    "[platform]") {
    Seen all;
    for (unsigned vcpus = 2; vcpus <= 4; vcpus += 2) {
        const Seen seen = run_with_windows(two_movers(vcpus));
        REQUIRE(seen.failure == "");
        CHECK(seen.violations == 0);
        CHECK(seen.installed_inside == 0);
        for (unsigned window = 0; window < kWindows; ++window) {
            all.retried[window] += seen.retried[window];
            all.installed[window] += seen.installed[window];
        }
        all.two_open += seen.two_open;
    }
    CHECK(all.two_open > 0);
    // Before a section starts there is nothing wrong, unless it starts before the entry is made.
    CHECK(all.installed[kBeforeStart] > 0);
    CHECK(all.retried[kBeforeStart] + all.retried[kAfterEnd] > 0);
    CHECK(all.retried[kStartToClear] > 0);
    CHECK(all.retried[kClearToEnd] > 0);
    CHECK(all.installed[kStartToClear] == 0);
    CHECK(all.installed[kClearToEnd] == 0);
    CHECK(all.installed[kAfterEnd] > 0);
}

TEST_CASE("section windows: without the retry check an entry is made inside a section",
          "[platform]") {
    Hammer hammer = two_movers(4);
    hammer.scenario.injected_fault = rmap::InjectedFault::kSkipRetryCheck;
    const Seen seen = run_with_windows(hammer);
    REQUIRE(seen.failure == "");
    CHECK(seen.installed_inside > 0);
    CHECK(seen.violations > 0);
}

}  // namespace mmusim::test
