// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "platform/config/config_error.hpp"
#include "platform/config/load_config.hpp"
#include "tests/support/temporary_folder.hpp"

namespace mmusim::test {

inline const std::string kConfigs = std::string(MMUSIM_REPO_DIR) + "/configs/";

inline std::string shipped(const std::string& name) { return kConfigs + name + ".toml"; }

/// All shipped files of a folder; fails the test when there are none.
inline std::vector<std::string> shipped_files(const std::string& folder) {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(kConfigs + folder))
        if (entry.path().extension() == ".toml") files.push_back(entry.path().string());
    REQUIRE_FALSE(files.empty());
    return files;
}

/// A device of a platform file; its source is in the third line, its link, in ns, in the fourth.
inline std::string device_section(const std::string& name, unsigned source, unsigned link = 250) {
    const auto time = [](unsigned ns) {
        return " = { ns = " + std::to_string(ns) + ", from = \"assumed: a test\" }\n";
    };
    const std::string from = "from = \"assumed: a test\"\n";
    return "[device." + name + "]\n" + from + "source = " + std::to_string(source) + "\nlink" +
           time(link) + "socket = 0\nats = true\nmax_in_flight = 8\natc_invalidate" + time(100) +
           "transfer" + time(2000) + "[device." + name + ".atc]\nlookup" + time(5) + "fill" +
           time(2) + "[device." + name + ".atc.array.small]\n" + from +
           "pages = [\"4K\"]\nentries = 64\nways = 64\n";
}

/// Files that extend shipped ones, and what loading them says.
class ConfigFixture {
public:
    /// A platform that is skylake-sp-2s with `content` after its extends line, hence from line 2
    /// on.
    std::string platform(const std::string& content) const {
        return folder_.write(
            "p.toml", "extends = \"" + shipped("platforms/skylake-sp-2s") + "\"\n" + content);
    }
    /// Likewise, a scenario that is reclaim-anon.
    std::string scenario(const std::string& content) const {
        return folder_.write("s.toml",
                             "extends = \"" + shipped("scenarios/reclaim-anon") + "\"\n" + content);
    }

    platform::LoadedConfig load(std::vector<std::string> settings = {}) const {
        return load_files(platform_file, scenario_file, std::move(settings));
    }

    static platform::LoadedConfig load_files(const std::string& platform_path,
                                             const std::string& scenario_path,
                                             std::vector<std::string> settings = {}) {
        return platform::load_config({platform_path, scenario_path, std::move(settings), {"ipi"}});
    }

    /// The message, with the folder of the test left out; fails the test when there is none.
    std::string error(std::vector<std::string> settings = {}) const {
        try {
            load(std::move(settings));
        } catch (const platform::UserError& caught) {
            return without_folder(caught.what());
        }
        FAIL("no error");
        return {};
    }
    std::string platform_error(const std::string& content) {
        platform_file = platform(content);
        return error();
    }
    std::string scenario_error(const std::string& content) {
        scenario_file = scenario(content);
        return error();
    }

    const TemporaryFolder& folder() const { return folder_; }

    std::string platform_file = shipped("platforms/skylake-sp-2s");
    std::string scenario_file = shipped("scenarios/reclaim-anon");

private:
    std::string without_folder(std::string text) const {
        for (const std::string& prefix : {folder_.path(""), kConfigs})
            for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix))
                text.erase(at, prefix.size());
        return text;
    }

    TemporaryFolder folder_;
};

}  // namespace mmusim::test
