// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "platform/config/sweep_schema.hpp"
#include "platform/sweep/sweep_points.hpp"
#include "tests/support/config_fixture.hpp"

namespace mmusim::test {

/// Sweeps over skylake-sp-2s and reclaim-anon, and what reading them says.
class SweepFixture {
public:
    /// The [sweep] section has lines 1 to 6; `axes` begin on line 7.
    std::string file(const std::string& axes, const std::string& more = "") const {
        return folder_.write("w.toml", "[sweep]\nname = \"test\"\nplatform = \"" +
                                           shipped("platforms/skylake-sp-2s") +
                                           "\"\nscenario = \"" + shipped("scenarios/reclaim-anon") +
                                           "\"\noperation = \"unmap\"\n" + more + "\n" + axes);
    }

    platform::SweepConfig read(const std::string& axes, const std::string& more = "") const {
        return platform::read_sweep(file(axes, more));
    }

    std::vector<platform::SweepPoint> points(const std::string& axes,
                                             const std::vector<std::string>& settings = {}) const {
        return platform::sweep_points(read(axes), settings);
    }

    /// What reading the sweep and loading all its points says, without the folders.
    std::string error(const std::string& axes, const std::string& more = "",
                      const std::vector<std::string>& settings = {}) const {
        return error_in(file(axes, more), settings);
    }

    std::string error_in(const std::string& path,
                         const std::vector<std::string>& settings = {}) const {
        try {
            const auto sweep = platform::read_sweep(path);
            for (const auto& point : platform::sweep_points(sweep, settings))
                platform::load_point(sweep, point, {"ipi"});
        } catch (const platform::UserError& caught) {
            std::string text = caught.what();
            for (const std::string& prefix : {folder_.path(""), kConfigs})
                for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix))
                    text.erase(at, prefix.size());
            return text;
        }
        FAIL("no error");
        return {};
    }

    const TemporaryFolder& folder() const { return folder_; }

private:
    TemporaryFolder folder_;
};

}  // namespace mmusim::test
