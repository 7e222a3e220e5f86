// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "platform/build/platform.hpp"

namespace mmusim::test {

/// A machine with small, distinct latencies in whole nanoseconds, so that ties abound.
platform::PlatformConfig test_platform(unsigned sockets, unsigned cores_per_socket);

/// A machine whose cores run the functions of a test; the base protocol is checked on every socket.
class TestMachine {
public:
    using Program = std::function<void(models::CoreModule&)>;
    using Handler = std::function<void(models::CoreModule&, const rmap::TakenInterrupt&)>;

    using DeviceProgram = std::function<void(models::DmaDeviceModule&)>;

    explicit TestMachine(const platform::PlatformConfig& config,
                         models::AccessObserver* observer = nullptr,
                         std::optional<rmap::Duration> quantum = std::nullopt,
                         std::vector<rmap::CpuId> creation_order = {});
    /// The lookahead follows from `config`, and the base protocol is checked in any case.
    TestMachine(const platform::PlatformConfig& config, platform::Platform::Options options,
                std::optional<rmap::Duration> quantum);

    void program(rmap::CpuId cpu, Program program) { software_[cpu]->program = std::move(program); }
    void device_program(std::size_t device, DeviceProgram program) {
        devices_[device]->program = std::move(program);
    }
    void handler(rmap::CpuId cpu, Handler handler) { software_[cpu]->handler = std::move(handler); }

    /// Runs until nothing happens any more. Once per process.
    void run();

    platform::Platform& operator*() { return *platform_; }
    platform::Platform* operator->() { return platform_.get(); }
    models::CoreModule& core(rmap::CpuId cpu) { return platform_->core(cpu); }

    /// Writes a word of memory before the run.
    void poke(rmap::PhysAddr address, std::uint64_t value, rmap::Generation generation = 0);
    /// Maps `page` to `frame` with these flags, building tables from frame `kTables` up.
    void map(rmap::VirtAddr address, rmap::FrameNumber frame, std::uint64_t flags,
             rmap::Generation generation = 0);
    /// Where map() has put the entry of an address.
    rmap::PhysAddr entry_of(rmap::VirtAddr address) const;
    rmap::PhysAddr root() const { return rmap::address_of(kTables); }

    static constexpr rmap::FrameNumber kTables{64};

private:
    struct Software final : models::CoreSoftware {
        Program program;
        Handler handler;
        void run(models::CoreModule& core) override {
            if (program) program(core);
        }
        void handle_interrupt(models::CoreModule& core,
                              const rmap::TakenInterrupt& interrupt) override {
            if (handler) handler(core, interrupt);
        }
    };

    struct DeviceSoftware final : models::DeviceProgram {
        TestMachine::DeviceProgram program;
        void run(models::DmaDeviceModule& device) override {
            if (program) program(device);
        }
    };

    std::vector<std::unique_ptr<Software>> software_;
    std::vector<std::unique_ptr<DeviceSoftware>> devices_;
    std::unique_ptr<platform::Platform> platform_;
    rmap::FrameNumber next_table_ = kTables + 1;
};

}  // namespace mmusim::test
