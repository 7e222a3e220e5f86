// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_tables.hpp"

namespace mmusim::test {

using models::BitUpdate;
using rmap::Access;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::PageTableFormat;
using rmap::TableBuilder;

namespace {

constexpr auto kPart = rmap::Part::kPteAccess;

std::uint64_t below(RandomTables::Random& random, std::uint64_t end) { return random() % end; }
bool one_in(RandomTables::Random& random, unsigned n) { return below(random, n) == 0; }

unsigned order_of(const TableBuilder& tables, const TableBuilder::Leaf& leaf) {
    return tables.format().page_order(leaf.level, leaf.says.joined);
}

unsigned draw_order(RandomTables::Random& random, const PageTableFormat& format) {
    const auto orders = format.page_orders();
    return one_in(random, 2) ? orders.front() : orders[below(random, orders.size())];
}

std::uint64_t page_start(std::uint64_t address, unsigned order) {
    return address >> (rmap::kPageShift + order) << (rmap::kPageShift + order);
}

/// Maps a page whatever was there: what a large page was made of goes as a whole.
unsigned replace(TableBuilder& tables, std::uint64_t address, unsigned order, FrameNumber frame,
                 const TableBuilder::Attributes& attributes) {
    unsigned widest = order;
    if (const auto old = tables.find(address)) {
        widest = std::max(order, order_of(tables, *old));
        if (widest > order && old->says.joined) tables.unmap(address, widest);
    }
    tables.map(address, order, frame, attributes);
    return widest;
}

/// The same page with other attributes.
void protect(TableBuilder& tables, std::uint64_t address, const TableBuilder::Leaf& leaf,
             const TableBuilder::Attributes& attributes) {
    tables.map(address, order_of(tables, leaf), leaf.says.frame, attributes);
}

}  // namespace

RandomTables::RandomTables(const Config& config, rmap::PhysMemPort& memory,
                           TableBuilder::AllocateTable allocate)
    : config_(config), memory_(memory), allocate_(std::move(allocate)) {
    if (config_.vm != 0) {
        second_ = std::make_unique<TableBuilder>(*config_.second.format, memory_, allocate_);
        guest_ = std::make_unique<GuestWords>(memory_, allocate_, *second_);
    }
    for (unsigned space = 0; space < config_.spaces; ++space) {
        const auto allocate_guest = [this](unsigned order) {
            const auto first = guest_->allocate(order, config_.second_order);
            for (std::uint64_t n = 0; n < std::uint64_t{1} << order;
                 n += std::uint64_t{1} << config_.second_order)
                table_pages_.push_back(first + n);
            return first;
        };
        if (config_.vm == 0)
            spaces_.push_back(
                std::make_unique<TableBuilder>(*config_.first.format, memory_, allocate_));
        else
            spaces_.push_back(
                std::make_unique<TableBuilder>(*config_.first.format, *guest_, allocate_guest));
    }
}

/// A few indexes of each level, so that addresses share tables and large pages cover small ones.
std::uint64_t RandomTables::draw_address(Random& random, const PageTableFormat& format,
                                         unsigned first_root_index) const {
    const unsigned levels = format.levels;
    const std::uint64_t roots = std::min<std::uint64_t>(3, 1ull << format.level(levels).index_bits);
    std::uint64_t address = (first_root_index + below(random, roots)) << format.level(levels).shift;
    for (unsigned level = 2; level < levels; ++level)
        address += below(random, 3) << format.level(level).shift;
    return address + (below(random, 40) << format.level(1).shift) + below(random, 512) * 8;
}

RandomTables::Attributes RandomTables::draw_attributes(Random& random,
                                                       const PageTableFormat& format) const {
    using Stage = PageTableFormat::Stage;
    const bool execute_only = format.stage == Stage::kSecond ||
                              format.architecture() == PageTableFormat::Architecture::kRiscv;
    Attributes out;
    out.readable = !execute_only || !one_in(random, 8);
    out.writable = out.readable && !one_in(random, 4);
    out.executable = !out.readable || one_in(random, 2);
    out.user = format.stage == Stage::kSecond || !one_in(random, 12);
    out.accessed = !one_in(random, 3);
    out.dirty = out.writable && !one_in(random, 3);
    return out;
}

/// One part of each space is what all of them have in common.
bool RandomTables::is_global(std::uint64_t address) const {
    const auto& root = config_.first.format->level(config_.first.format->levels);
    return address >> root.shift == 1;
}

template <class F>
void RandomTables::for_spaces_of(unsigned space, std::uint64_t address, F&& f) {
    for (unsigned n = 0; n < config_.spaces; ++n)
        if (n == space || is_global(address)) f(*spaces_[n]);
}

RandomTables::Use RandomTables::draw_use(Random& random) {
    constexpr std::size_t kRecent = 12;
    const auto& format = *config_.first.format;
    std::uint64_t address = draw_address(random, format, 0);
    if (!recent_.empty() && one_in(random, 2)) {  // a neighbour
        const std::uint64_t neighbour = recent_[below(random, recent_.size())];
        address = (neighbour >> format.level(2).shift << format.level(2).shift) +
                  address % (std::uint64_t{1} << format.level(2).shift);
    }
    if (recent_.size() == kRecent && !one_in(random, 6))
        address = recent_[below(random, kRecent)] ^ below(random, 512) * 8;
    else if (recent_.size() < kRecent)
        recent_.push_back(address);
    else
        recent_[below(random, kRecent)] = address;
    const auto access = static_cast<Access>(below(random, 3));
    return {static_cast<unsigned>(below(random, config_.spaces)), address, access};
}

std::optional<RandomTables::Flush> RandomTables::change(Random& random) {
    if (config_.vm == 0 || one_in(random, 2)) return change_first(random);
    if (one_in(random, 32)) return move_table(random);
    return change_second(random);
}

std::optional<RandomTables::Flush> RandomTables::change_first(Random& random) {
    const auto& format = *config_.first.format;
    const Use use = draw_use(random);
    Flush flush;
    flush.space = use.space;
    flush.address = use.address;
    flush.global = is_global(use.address);
    auto attributes = draw_attributes(random, format);
    if (flush.global) {
        attributes.global = attributes.accessed = true;
        attributes.dirty = attributes.writable;
    }
    const auto old = spaces_[use.space]->find(use.address);
    const unsigned what = static_cast<unsigned>(below(random, 8));
    if (old && what < 3) {  // protect or unmap
        flush.order = order_of(*spaces_[use.space], *old);
        flush.exactly_a_page = true;
        for_spaces_of(use.space, use.address, [&](TableBuilder& tables) {
            if (what == 0)
                tables.unmap(use.address, flush.order);
            else
                protect(tables, use.address, *old, attributes);
        });
        return flush;
    }
    const unsigned order = draw_order(random, format);
    const std::uint64_t to = config_.vm == 0 ? below(random, 512) << (rmap::kPageShift + order)
                                             : draw_address(random, *config_.second.format, 4);
    const FrameNumber frame = rmap::frame_of({page_start(to, order)});
    for_spaces_of(use.space, use.address, [&](TableBuilder& tables) {
        flush.order = std::max(flush.order, replace(tables, use.address, order, frame, attributes));
    });
    if (!old && order == format.page_orders().front()) return std::nullopt;  // nothing was there
    return flush;
}

std::optional<RandomTables::Flush> RandomTables::change_second(Random& random) {
    const auto& format = *config_.second.format;
    Flush flush;
    flush.second = true;
    flush.address = draw_address(random, format, 4);
    const auto old = second_->find(flush.address);
    const auto attributes = draw_attributes(random, format);
    if (old && one_in(random, 3)) {
        flush.order = order_of(*second_, *old);
        flush.exactly_a_page = true;
        if (one_in(random, 4))
            second_->unmap(flush.address, flush.order);
        else
            protect(*second_, flush.address, *old, attributes);
        return flush;
    }
    const unsigned order = draw_order(random, format);
    const FrameNumber frame{below(random, 512) << order};
    flush.order = replace(*second_, flush.address, order, frame, attributes);
    if (!old && order == format.page_orders().front()) return std::nullopt;
    return flush;
}

/// The host moves frames with tables of the guest.
RandomTables::Flush RandomTables::move_table(Random& random) {
    const FrameNumber guest = table_pages_[below(random, table_pages_.size())];
    const FrameNumber to = allocate_(config_.second_order);
    const rmap::PhysAddr from = guest_->host_address(rmap::address_of(guest));
    const std::uint64_t size = rmap::kPageSize << config_.second_order;
    for (std::uint64_t offset = 0; offset < size; offset += 8) {
        const rmap::Word word = memory_.load(from + offset, kPart);
        if (word.value != 0) memory_.store(rmap::address_of(to) + offset, word, kPart);
    }
    Attributes attributes;
    attributes.dirty = config_.second.dirty == BitUpdate::kFault || one_in(random, 2);
    Flush flush;
    flush.second = true;
    flush.address = rmap::address_of(guest).value;
    flush.order = config_.second_order;
    flush.exactly_a_page = true;
    second_->map(flush.address, flush.order, to, attributes);
    return flush;
}

Fault RandomTables::judge(const ReferencePage& page, Access access,
                          const models::WalkStageConfig& stage) const {
    if (!page.allows(access)) return Fault::kProtection;
    if (stage.format->bits_are_a_mode()) return Fault::kNone;
    if (!page.accessed && stage.accessed == BitUpdate::kFault) return Fault::kAccessFlag;
    const bool clean = access == Access::kWrite && !page.dirty;
    return clean && stage.dirty == BitUpdate::kFault ? Fault::kDirtyState : Fault::kNone;
}

RandomTables::Expected RandomTables::expect(const Use& use) const {
    const ReadWord read = [this](std::uint64_t at) { return memory_.load({at}, kPart).value; };
    const std::uint64_t root = spaces_[use.space]->root().value;
    if (config_.vm == 0) {
        const auto page = reference_walk(config_.first.format->name, read, root, use.address);
        if (!page) return {Fault::kNotPresent, 0, false};
        return {judge(*page, use.access, config_.first), page->address, page->dirty};
    }
    const auto both = reference_walk(config_.first.format->name, config_.second.format->name, read,
                                     root, second_->root().value, use.address);
    if (both.violated) return {Fault::kSecondStage, 0, false};
    if (!both.first) return {Fault::kNotPresent, 0, false};
    const Fault fault = judge(*both.first, use.access, config_.first);
    if (fault != Fault::kNone) return {fault, 0, false};
    if (!both.second || judge(*both.second, use.access, config_.second) != Fault::kNone)
        return {Fault::kSecondStage, 0, false};
    const bool no_bits =
        config_.second.format->bits_are_a_mode() && config_.second.accessed == BitUpdate::kFault;
    return {Fault::kNone, both.second->address,
            both.first->dirty && (no_bits || both.second->dirty)};
}

/// More is allowed than before, or something is mapped where nothing was: nothing is to be flushed.
void RandomTables::handle(Random& random, const Use& use, Fault fault,
                          const models::SecondStageViolation& violation) {
    const bool second = fault == Fault::kSecondStage;
    const Fault cause = second ? violation.cause : fault;
    const std::uint64_t address = second ? violation.address.value : use.address;
    const auto& format = second ? *config_.second.format : *config_.first.format;
    const auto for_tables = [&](auto&& f) {
        if (second)
            f(*second_);
        else
            for_spaces_of(use.space, address, f);
    };
    if (cause == Fault::kNotPresent) {
        if (one_in(random, 8)) return;
        const unsigned order = format.page_orders().front();
        const std::uint64_t to = second || config_.vm == 0
                                     ? below(random, 512) << (rmap::kPageShift + order)
                                     : draw_address(random, *config_.second.format, 4);
        Attributes attributes;
        attributes.global = !second && is_global(address);
        for_tables([&](TableBuilder& tables) {
            tables.map(address, order, rmap::frame_of({page_start(to, order)}), attributes);
        });
        return;
    }
    if (cause == Fault::kProtection && one_in(random, 3)) return;
    for_tables([&](TableBuilder& tables) {
        const auto leaf = tables.find(address);
        const auto& says = leaf->says;
        Attributes more{says.readable, says.writable, says.executable, says.user,
                        says.global,   says.accessed, says.dirty};
        if (cause == Fault::kProtection)
            more.readable = more.writable = more.executable = more.user = true;
        if (cause == Fault::kAccessFlag) more.accessed = true;
        if (cause == Fault::kDirtyState) more.accessed = more.dirty = true;
        if (more.global) more.accessed = more.dirty = true;
        protect(tables, address, *leaf, more);
    });
}

}  // namespace mmusim::test
