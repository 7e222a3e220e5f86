// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "tests/support/reference_walk.hpp"
#include "tests/support/table_bench.hpp"

namespace mmusim::test {

/// The page tables of the host's processes or of a VM's, changed at random as a kernel may: what
/// was mapped before is to be flushed, what was not need not be.
class RandomTables {
public:
    using Random = std::mt19937_64;

    struct Config {
        rmap::VmId vm = 0;
        unsigned spaces = 3;
        models::WalkStageConfig first;
        models::WalkStageConfig second;  ///< of a VM only
        unsigned second_order = 0;       ///< size of the pages in which a VM's tables lie
    };
    RandomTables(const Config& config, rmap::PhysMemPort& memory,
                 rmap::TableBuilder::AllocateTable allocate);

    rmap::VmId vm() const { return config_.vm; }
    unsigned spaces() const { return config_.spaces; }
    rmap::PhysAddr root(unsigned space) const { return spaces_[space]->root(); }
    rmap::PhysAddr second_root() const { return second_ ? second_->root() : rmap::PhysAddr{}; }

    struct Use {
        unsigned space = 0;
        std::uint64_t address = 0;
        rmap::Access access{};
    };
    /// Mostly of pages that were used a moment ago.
    Use draw_use(Random& random);

    /// What a change leaves behind in caches.
    struct Flush {
        bool second = false;          ///< `address` is guest-physical
        bool global = false;          ///< in every space
        bool exactly_a_page = false;  ///< nothing but the one page was changed, and no table
        unsigned space = 0;
        std::uint64_t address = 0;
        unsigned order = 0;  ///< of the range around `address`
    };
    /// One change; returns what has to be flushed, if anything.
    std::optional<Flush> change(Random& random);

    /// What an uncached walk would say now.
    struct Expected {
        rmap::Fault fault{};
        std::uint64_t address = 0;
        bool dirty = false;  ///< of all stages
    };
    Expected expect(const Use& use) const;

    /// What software may do at such a fault, none of which is to be flushed: set a bit, map a page,
    /// allow more.
    void handle(Random& random, const Use& use, rmap::Fault fault,
                const models::SecondStageViolation& violation);

private:
    using Attributes = rmap::TableBuilder::Attributes;
    std::uint64_t draw_address(Random& random, const rmap::PageTableFormat& format,
                               unsigned first_root_index) const;
    Attributes draw_attributes(Random& random, const rmap::PageTableFormat& format) const;
    bool is_global(std::uint64_t address) const;
    template <class F>
    void for_spaces_of(unsigned space, std::uint64_t address, F&& f);
    std::optional<Flush> change_first(Random& random);
    std::optional<Flush> change_second(Random& random);
    Flush move_table(Random& random);
    rmap::Fault judge(const ReferencePage& page, rmap::Access access,
                      const models::WalkStageConfig& stage) const;

    const Config config_;
    rmap::PhysMemPort& memory_;
    const rmap::TableBuilder::AllocateTable allocate_;
    std::unique_ptr<rmap::TableBuilder> second_;
    std::unique_ptr<GuestWords> guest_;
    std::vector<std::unique_ptr<rmap::TableBuilder>> spaces_;
    std::vector<rmap::FrameNumber> table_pages_;  ///< of the guest's tables, by guest frame
    std::vector<std::uint64_t> recent_;
};

}  // namespace mmusim::test
