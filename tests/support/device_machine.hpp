// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "models/device/dma_device_module.hpp"
#include "models/iommu/iommu_module.hpp"
#include "rmap/types/vtd.hpp"
#include "tests/support/test_machine.hpp"

namespace mmusim::test {

/// Small, distinct latencies in whole nanoseconds.
models::IommuConfig test_iommu();
models::DmaDeviceConfig test_device(rmap::SourceId source);

inline rmap::Instant before(rmap::Instant time, rmap::Duration distance) {
    return {time.ps - distance.ps};
}

/// A test machine with an IOMMU and devices that run the functions of a test.
class DeviceMachine {
public:
    using Program = TestMachine::DeviceProgram;

    struct Options {
        unsigned cores = 2;
        models::IommuConfig iommu = test_iommu();
        std::vector<models::DmaDeviceConfig> devices = {test_device(0x0310)};
        std::optional<rmap::Duration> quantum;
        rmap::InjectedFault fault = rmap::InjectedFault::kNone;
        bool reverse_creation = false;  ///< cores and devices are made in the opposite order
    };

    explicit DeviceMachine(const Options& options);
    DeviceMachine() : DeviceMachine(Options{}) {}

    // ---- set-up ----
    void program(std::size_t device, Program program) {
        cores_->device_program(device, std::move(program));
    }
    /// Makes `pasid` of a device stand for the page tables at `first_level`.
    void bind(std::size_t device, rmap::Pasid pasid, rmap::PhysAddr first_level);

    // ---- for programs of cores ----
    /// Stores descriptors behind the queue's tail and writes the tail register.
    void submit(models::CoreModule& core, const std::vector<rmap::QiDescriptor>& descriptors,
                rmap::Completion& write_back);
    /// The same, then waits; returns when the status was seen.
    rmap::Instant submit_and_wait(models::CoreModule& core,
                                  std::vector<rmap::QiDescriptor> descriptors);
    /// Lets time pass until `at`.
    static void sleep_until(models::CoreModule& core, rmap::Instant at);
    static void sleep_until(models::DmaDeviceModule& device, rmap::Instant at);

    /// Runs until nothing happens any more. Once per process.
    void run();

    // ---- what there is ----
    TestMachine& cores() { return *cores_; }
    models::IommuModule& iommu() { return *(*cores_)->iommu(); }
    models::DmaDeviceModule& device(std::size_t n) { return (*cores_)->device(n); }
    const platform::PlatformConfig& platform() const { return platform_; }
    const Options& options() const { return options_; }
    models::LateEffects late() const { return (*cores_)->late(); }

    // ---- what has happened ----
    std::vector<rmap::EventRecord> events(rmap::Event event) const;
    const std::vector<rmap::EventRecord>& all_events() const { return sink_.records; }
    /// Accesses of a device, or of a core.
    const std::vector<models::AccessRecord>& accesses(rmap::ActorId agent) const {
        return observer_.records[agent];
    }
    rmap::ActorId engine(std::size_t device) const {
        return (*cores_)->agents().devices[device].engine;
    }

    /// When the queue has decoded the first descriptor of the run, submitted by submit_and_wait
    /// with one other at `start`: four stores, the first of which fetches the line, doorbell,
    /// fetch.
    rmap::Instant first_descriptor(rmap::Instant start) const;

    /// Time of a read from memory for a unit that keeps no lines: the first one of a line, then any
    /// other as long as nobody has written it.
    rmap::Duration first_read() const { return platform_.memory.latency.dram; }
    rmap::Duration next_read() const { return platform_.memory.latency.llc; }

    /// Reading the way to a PASID entry for the first time: four lines, two words of the last.
    rmap::Duration pasid_walk() const { return first_read() * 4 + next_read(); }

    static constexpr rmap::FrameNumber kRootTable{32};
    static constexpr rmap::FrameNumber kQueue{40};
    static constexpr rmap::FrameNumber kStatus{41};

private:
    struct Sink final : models::EventSink {
        std::vector<rmap::EventRecord> records;
        void on_record(const rmap::EventRecord& record) override { records.push_back(record); }
    };
    struct Observer final : models::AccessObserver {
        std::vector<std::vector<models::AccessRecord>> records;
        void judge(rmap::ActorId agent, const models::AccessBatch& uses) override {
            uses.for_each([&](const auto& use) { records[agent].push_back(use); });
        }
    };

    rmap::FrameNumber table_at(rmap::PhysAddr word, std::uint64_t flags);

    const Options options_;
    platform::PlatformConfig platform_;
    models::SettledStream stream_;
    Sink sink_;
    Observer observer_;
    std::unique_ptr<TestMachine> cores_;
    rmap::FrameNumber next_table_{48};
    std::uint64_t tail_ = 0;
    std::uint32_t status_ = 0;
};

}  // namespace mmusim::test
