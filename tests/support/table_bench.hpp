// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <utility>

#include "models/walker/table_walker.hpp"
#include "rmap/mm/table_builder.hpp"

// Memory and page tables for plain tests of walkers.

namespace mmusim::test {

/// Words in which no time passes for software, and one nanosecond per access for a walker.
class WalkWords final : public rmap::PhysMemPort, public models::WalkPort {
public:
    // rmap::PhysMemPort
    rmap::Word load(rmap::PhysAddr address, rmap::Part) override { return words_[address.value]; }
    rmap::Word read_modify_write(rmap::PhysAddr address, Apply apply, rmap::Part) override {
        rmap::Word& word = words_[address.value];
        const rmap::Word old = word;
        word = apply(old, now);
        return old;
    }

    // models::WalkPort
    Read access(rmap::PhysAddr address, const rmap::PhysMemPort::Apply* apply) override {
        now += kRead;
        ++(apply ? locked : reads);
        if (apply && before_locked) std::exchange(before_locked, nullptr)();
        if (!apply && before_read) before_read(address);
        return {apply ? read_modify_write(address, *apply, {}) : load(address, {}), now};
    }
    void spend(rmap::Duration time) override { now += time; }

    /// 2^order frames in a row, aligned to their size.
    rmap::FrameNumber allocate(unsigned order) {
        const std::uint64_t frames = std::uint64_t{1} << order;
        const std::uint64_t first = (next_ + frames - 1) / frames * frames;
        next_ = first + frames;
        return {first};
    }

    static constexpr rmap::Duration kRead = rmap::nanoseconds(1);
    rmap::Instant now{};
    unsigned reads = 0;
    unsigned locked = 0;
    std::function<void()> before_locked;  ///< what somebody else does meanwhile, once
    std::function<void(rmap::PhysAddr)> before_read;

private:
    std::unordered_map<std::uint64_t, rmap::Word> words_;
    std::uint64_t next_ = 1;
};

/// A guest's memory: guest-physical addresses, whose frames the second stage maps.
class GuestWords final : public rmap::PhysMemPort {
public:
    /// All of them outlive it; host frames come from `allocate_host`.
    GuestWords(rmap::PhysMemPort& host, rmap::TableBuilder::AllocateTable allocate_host,
               rmap::TableBuilder& second)
        : host_(host), allocate_host_(std::move(allocate_host)), second_(second) {}

    rmap::Word load(rmap::PhysAddr address, rmap::Part part) override {
        return host_.load(host_address(address), part);
    }
    rmap::Word read_modify_write(rmap::PhysAddr address, Apply apply, rmap::Part part) override {
        return host_.read_modify_write(host_address(address), apply, part);
    }

    /// New guest frames, mapped in pages of `page_order` to new frames of the host.
    rmap::FrameNumber allocate(unsigned order, unsigned page_order,
                               const rmap::TableBuilder::Attributes& attributes = {}) {
        const std::uint64_t frames = std::uint64_t{1} << std::max(order, page_order);
        const std::uint64_t first = (next_ + frames - 1) / frames * frames;
        next_ = first + frames;
        for (std::uint64_t n = 0; n < frames; n += std::uint64_t{1} << page_order)
            second_.map((first + n) << rmap::kPageShift, page_order, allocate_host_(page_order),
                        attributes);
        return {first};
    }
    /// Where a guest-physical address is; the second stage maps it.
    rmap::PhysAddr host_address(rmap::PhysAddr address) const {
        const auto leaf = second_.find(address.value);
        const auto order = second_.format().page_order(leaf->level, leaf->says.joined);
        return rmap::address_of(leaf->says.frame) + address.value % (rmap::kPageSize << order);
    }

private:
    rmap::PhysMemPort& host_;
    const rmap::TableBuilder::AllocateTable allocate_host_;
    rmap::TableBuilder& second_;
    std::uint64_t next_ = 1;
};

/// Page tables of one stage on words of their own, and a walker over them.
struct StageBench {
    explicit StageBench(const models::WalkerConfig& config)
        : tables(*config.first.format, words, [this](unsigned o) { return words.allocate(o); }),
          walker(config) {}

    models::WalkResult walk(std::uint64_t address, rmap::Access access, models::SpaceId space = 1) {
        return walker.walk({rmap::VirtAddr{address}, access, {space, 0}, tables.root(), {}, {}},
                           words);
    }

    WalkWords words;
    rmap::TableBuilder tables;
    models::TableWalker walker;
};

/// A guest's page tables in its own memory, the second stage below them, and a walker over both.
struct GuestBench {
    /// `page_order` is that of the second stage's pages, in which the guest's tables lie.
    GuestBench(const models::WalkerConfig& config, unsigned page_order)
        : second(*config.second.format, words, [this](unsigned o) { return words.allocate(o); }),
          memory(
              words, [this](unsigned o) { return words.allocate(o); }, second),
          first(*config.first.format, memory,
                [this, page_order](unsigned o) { return memory.allocate(o, page_order); }),
          walker(config) {}

    models::WalkResult walk(std::uint64_t address, rmap::Access access, models::SpaceId space = 1) {
        return walker.walk(
            {rmap::VirtAddr{address}, access, {space, kVm}, first.root(), second.root(), {}},
            words);
    }

    static constexpr rmap::VmId kVm = 3;
    WalkWords words;
    rmap::TableBuilder second;
    GuestWords memory;
    rmap::TableBuilder first;
    models::TableWalker walker;
};

}  // namespace mmusim::test
