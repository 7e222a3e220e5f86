// SPDX-License-Identifier: Apache-2.0
#include "models/walker/table_walker.hpp"

#include <algorithm>

namespace mmusim::models {

using rmap::Access;
using rmap::Fault;
using rmap::GuestPhysAddr;
using rmap::Instant;
using rmap::PageNumber;
using rmap::PageTableFormat;
using rmap::PhysAddr;
using rmap::TableEntry;
using rmap::Word;

namespace {

/// The entry is one more on the way down.
TableLimits limited(TableLimits limits, const TableEntry& entry) {
    limits.readable = limits.readable && entry.readable;
    limits.writable = limits.writable && entry.writable;
    limits.executable = limits.executable && entry.executable;
    limits.user = limits.user && entry.user;
    limits.global = limits.global || entry.global;
    return limits;
}

/// All accesses are those of user mode.
bool allows(const TableLimits& limits, Access access) {
    switch (access) {
        case Access::kRead:
            return limits.user && limits.readable;
        case Access::kWrite:
            return limits.user && limits.writable;
        case Access::kExecute:
            return limits.user && limits.executable;
    }
    return false;
}

bool same_mapping(const TableEntry& a, const TableEntry& b) {
    return a.leaf() && b.leaf() && a.frame == b.frame && a.joined == b.joined;
}

PageNumber guest_page_of(GuestPhysAddr address) { return {address.value >> rmap::kPageShift}; }

TlbScope scope_of_page(GuestPhysAddr address, rmap::VmId vm) {
    TlbScope scope;
    scope.vm = vm;
    scope.range = rmap::aligned_pages(rmap::VirtAddr{address.value}, 0);
    return scope;
}

}  // namespace

TableWalker::Stage::Stage(const WalkStageConfig& config, StageId stage)
    : id(stage), format(*config.format), accessed(config.accessed), dirty(config.dirty) {
    for (const auto& cache : config.caches) {
        caches.emplace_back(cache, format);
        lookup = rmap::max(lookup, cache.lookup);
    }
    std::sort(caches.begin(), caches.end(),
              [](const WalkCache& a, const WalkCache& b) { return a.level() < b.level(); });
}

bool TableWalker::Stage::heeds_bits() const {
    return !format.bits_are_a_mode() || accessed == BitUpdate::kHardware;
}

TableEntry TableWalker::Stage::decode(const Word& word, unsigned level) const {
    TableEntry entry = format.decode(word.value, level);
    if (!heeds_bits()) entry.accessed = entry.dirty = true;
    return entry;
}

TableWalker::TableWalker(const WalkerConfig& config)
    : config_(config),
      first_(config.first, StageId::kFirst),
      second_(config.second, StageId::kSecond),
      second_tlb_(config.second_tlb) {}

WalkResult TableWalker::walk(const WalkRequest& request, WalkPort& port) {
    walking_ = request.tag.vm();
    overtaken_ = false;
    reads_ = 0;
    port.spend(config_.start);
    WalkResult result;
    result.fault = walk_both(request, port, result);
    walking_.reset();

    ++stats_.walks;
    ++stats_.walks_by_reads[std::min(reads_, WalkerStats::kMostReads)];
    if (request.tag.vm() != 0) ++stats_.nested;
    if (result.fault == Fault::kSecondStage)
        ++stats_.violations;
    else if (result.fault != Fault::kNone)
        ++stats_.faults;
    return result;
}

Fault TableWalker::walk_both(const WalkRequest& request, WalkPort& port, WalkResult& result) {
    const std::uint64_t address = request.address.value;
    if (!first_.format.translates(address)) return Fault::kNotPresent;
    const bool guest = request.tag.vm() != 0;
    const auto locate = [&](PhysAddr entry, Access access) -> std::optional<Place> {
        if (!guest) return Place{entry};
        const GuestPhysAddr at{entry.value};
        const auto page = second_stage(at, access, request, port, result.violation);
        if (!page) return std::nullopt;
        return Place{physical(at, *page), page->writable && page->dirty, page->order,
                     page->oldest_read};
    };
    Way way{first_, address, request.access, request.tag, port, locate};
    begin(way, request.root);
    if (request.known_table) {
        way.table = *request.known_table;
        way.level = 1;
        way.cached = true;
        result.table = way.table;
    }
    Translation leaf;
    Fault fault = walk_stage(way, leaf);
    if (way.level == 1 && !result.table) result.table = way.table;
    if (fault == Fault::kNone && guest) {
        const auto page = rmap::page_of(request.address);
        const GuestPhysAddr at{rmap::address_of(leaf.frame_of(page)).value +
                               address % rmap::kPageSize};
        const auto second = second_stage(at, request.access, request, port, result.violation);
        if (second)
            leaf = combine(page, leaf, *second);
        else
            fault = Fault::kSecondStage;
    }
    if (fault != Fault::kNone) forget(way);
    result.translation = leaf;
    return fault;
}

/// From the root, or below the lowest entry that a cache knows.
void TableWalker::begin(Way& way, PhysAddr root) {
    Stage& stage = way.stage;
    way.table = {rmap::frame_of(root), rmap::kNever, {}, {}};
    way.level = stage.format.levels;
    if (stage.caches.empty()) return;
    way.port.spend(stage.lookup);
    for (auto& cache : stage.caches) {
        const WalkedTable* found = cache.lookup(way.tag, way.address);
        if (!found) continue;
        way.table = *found;
        way.level = cache.level() - 1;
        way.cached = true;
        ++stats_of(stage).cache_hits[cache.level()];
        return;
    }
}

Fault TableWalker::walk_stage(Way& way, Translation& leaf) {
    const PageTableFormat& format = way.stage.format;
    for (;;) {
        const auto place = place_of_entry(way);
        if (!place) return Fault::kSecondStage;
        keep(way, *place);
        way.port.spend(config_.level);
        way.read = way.port.access(place->address, nullptr);
        count_read(way);
        way.entry = way.stage.decode(way.read.word, way.level);
        const Instant oldest =
            rmap::min(way.table.oldest_read, rmap::min(place->oldest_read, way.read.at));
        const Fault fault = use_leaf(way, *place);
        if (fault != Fault::kNone) return fault;
        const TableLimits limits = limited(way.table.limits, way.entry);
        if (way.entry.leaf()) {
            leaf.frame = way.entry.frame;
            leaf.generation = way.read.word.generation;
            leaf.readable = limits.readable;
            leaf.writable = limits.writable;
            leaf.executable = limits.executable;
            leaf.dirty = way.entry.dirty;
            leaf.global = limits.global;
            leaf.order = static_cast<std::uint8_t>(format.page_order(way.level, way.entry.joined));
            leaf.first_order = leaf.order;
            leaf.read_at = way.read.at;
            leaf.oldest_read = oldest;
            return Fault::kNone;
        }
        if (!way.entry.table()) return Fault::kNotPresent;
        way.table = {way.entry.frame, oldest, limits, {}};
        way.cached = false;
        --way.level;
    }
}

std::optional<TableWalker::Place> TableWalker::place_of_entry(const Way& way) const {
    const PageTableFormat& format = way.stage.format;
    if (const auto& located = way.table.located)
        return Place{format.entry(located->frame, way.address, way.level), located->dirty};
    return way.locate(format.entry(way.table.frame, way.address, way.level), table_access());
}

/// What the reading of a guest's entry is to the second stage.
Access TableWalker::table_access() const {
    const bool counts_as_store = second_.format.bits_are_a_mode() && second_.heeds_bits();
    return counts_as_store ? Access::kWrite : Access::kRead;
}

/// The table that the last entry has led to goes to the cache of that entry's level.
void TableWalker::keep(Way& way, const Place& place) {
    if (way.cached || overtaken_ || way.level == way.stage.format.levels) return;
    const auto cache = std::find_if(way.stage.caches.begin(), way.stage.caches.end(),
                                    [&](const auto& c) { return c.level() == way.level + 1; });
    if (cache == way.stage.caches.end()) return;
    WalkedTable table = way.table;
    const bool guests = way.stage.id == StageId::kFirst && way.tag.vm() != 0;
    if (guests && config_.nested == NestedCaching::kCombined) {
        // The second stage may have put a table of several frames into several places.
        if (place.order < way.stage.format.table_order(way.level)) return;
        const auto offset = way.stage.format.entry({}, way.address, way.level).value;
        table.located = {rmap::frame_of(PhysAddr{place.address.value - offset}), place.dirty};
        table.oldest_read = rmap::min(table.oldest_read, place.oldest_read);
    }
    cache->insert(way.tag, way.address, table);
}

/// Whether the leaf, if it is one, may be used; sets the bits that it lacks.
Fault TableWalker::use_leaf(Way& way, const Place& place) {
    const bool store = way.access == Access::kWrite;
    while (way.entry.leaf()) {
        const TableEntry& entry = way.entry;
        if (!allows(limited(way.table.limits, entry), way.access)) return Fault::kProtection;
        if (!entry.accessed && way.stage.accessed == BitUpdate::kFault) return Fault::kAccessFlag;
        if (store && !entry.dirty && way.stage.dirty == BitUpdate::kFault)
            return Fault::kDirtyState;
        if (entry.accessed && (entry.dirty || !store)) return Fault::kNone;
        if (!mark(way, place)) return Fault::kSecondStage;
    }
    return Fault::kNone;
}

/// Sets bits in the mapping that was read, or finds out what is there instead. False: the second
/// stage does not allow to write a guest's table.
bool TableWalker::mark(Way& way, const Place& place) {
    const PageTableFormat& format = way.stage.format;
    PhysAddr at = place.address;
    if (!place.dirty) {
        const auto writable =
            way.locate(format.entry(way.table.frame, way.address, way.level), Access::kWrite);
        if (!writable) return false;
        at = writable->address;
    }
    const auto use = way.access == Access::kWrite ? PageTableFormat::Use::kAccessedAndDirty
                                                  : PageTableFormat::Use::kAccessed;
    const auto marked = [&](const Word& word) {
        return Word{format.mark(word.value, use), word.generation};
    };
    const auto same = [&](const Word& word) {
        const TableEntry now = way.stage.decode(word, way.level);
        return same_mapping(now, way.entry) && allows(limited(way.table.limits, now), way.access);
    };
    const auto set = [&](Word now, Instant) { return same(now) ? marked(now) : now; };
    const rmap::PhysMemPort::Apply apply(set);
    const WalkPort::Read old = way.port.access(at, &apply);
    ++(way.stage.id == StageId::kFirst ? stats_.assists : stats_.second_stage_assists);
    if (same(old.word))
        way.read.word = marked(old.word);
    else
        way.read = old;
    way.entry = way.stage.decode(way.read.word, way.level);
    return true;
}

std::optional<Translation> TableWalker::second_stage(GuestPhysAddr address, Access access,
                                                     const WalkRequest& request, WalkPort& port,
                                                     SecondStageViolation& violation) {
    const TlbTag tag(0, request.tag.vm());
    const PageNumber page = guest_page_of(address);
    const bool cached = !config_.second_tlb.arrays.empty();
    if (cached) {
        port.spend(config_.second_tlb.lookup);
        if (const auto* hit = second_tlb_.lookup(page, tag, access)) return *hit;
    }
    const auto locate = [](PhysAddr entry, Access) { return std::optional<Place>(Place{entry}); };
    Way way{second_, address.value, access, tag, port, locate};
    Translation leaf;
    Fault fault = Fault::kNotPresent;
    if (second_.format.translates(address.value)) {
        begin(way, request.second_root);
        fault = walk_stage(way, leaf);
    }
    if (fault != Fault::kNone) {
        violation = {address, access, fault};
        forget(way);
        if (cached) second_tlb_.invalidate(scope_of_page(address, tag.vm()));
        return std::nullopt;
    }
    if (cached && !overtaken_) {
        second_tlb_.insert(page, tag, leaf);
        port.spend(config_.second_tlb.fill);
    }
    return leaf;
}

void TableWalker::count_read(const Way& way) {
    ++reads_;
    ++stats_of(way.stage).reads[way.level];
    ++(way.stage.id == StageId::kFirst ? stats_.reads : stats_.second_stage_reads);
}

void TableWalker::forget(Way& way) {
    for (auto& cache : way.stage.caches) cache.forget(way.tag, way.address);
}

std::uint64_t TableWalker::invalidate(const TlbScope& scope) {
    using Stages = TlbScope::Stages;
    if (walking_ == scope.vm) overtaken_ = true;
    std::uint64_t dropped = 0;
    if (scope.stages != Stages::kSecond)
        for (auto& cache : first_.caches) dropped += cache.invalidate(scope);
    if (scope.stages == Stages::kFirst) return dropped;
    // Entries of the second stage have no address space and are found by guest-physical addresses.
    TlbScope second = scope;
    second.space.reset();
    if (scope.stages == Stages::kBoth) second.range.reset();
    for (auto& cache : second_.caches) dropped += cache.invalidate(second);
    return dropped + second_tlb_.invalidate(second);
}

PhysAddr physical(GuestPhysAddr address, const Translation& leaf) {
    const std::uint64_t size = rmap::kPageSize << leaf.order;
    return rmap::address_of(leaf.frame) + address.value % size;
}

Translation combine(PageNumber page, const Translation& first, const Translation& second) {
    Translation both = second;
    both.order = std::min(first.order, second.order);
    both.first_order = first.order;
    // The first frame of the smaller page, which may be a part of the second stage's.
    const PageNumber guest{first.frame_of(page).value};
    const std::uint64_t start = guest.value >> both.order << both.order;
    both.frame = second.frame_of(PageNumber{start});
    both.readable = first.readable && second.readable;
    both.writable = first.writable && second.writable;
    both.executable = first.executable && second.executable;
    both.dirty = first.dirty && second.dirty;
    both.global = first.global;
    both.oldest_read = rmap::min(first.oldest_read, second.oldest_read);
    return both;
}

}  // namespace mmusim::models
