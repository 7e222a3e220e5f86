// SPDX-License-Identifier: Apache-2.0
#include "models/walker/nested_walk.hpp"

#include <algorithm>

namespace mmusim::models {

using rmap::Access;
using rmap::EptEntry;
using rmap::FrameNumber;
using rmap::Instant;
using rmap::PageNumber;
using rmap::PhysAddr;
using rmap::Word;

namespace {

bool allows(EptEntry entry, Access access) {
    switch (access) {
        case Access::kRead:
            return entry.raw() & EptEntry::kRead;
        case Access::kWrite:
            return entry.writable();
        case Access::kExecute:
            return entry.executable();
    }
    return false;
}

/// The bits that an access sets in a leaf.
std::uint64_t bits_of(Access access) {
    return EptEntry::kAccessed | (access == Access::kWrite ? EptEntry::kDirty : 0);
}

/// Apart from accessed and dirty bits.
bool same_mapping(EptEntry a, EptEntry b) {
    constexpr std::uint64_t kBits = EptEntry::kAccessed | EptEntry::kDirty;
    return a.without(kBits) == b.without(kBits);
}

/// The leaf with the bits of the access set; nothing if it is another mapping by now.
std::optional<Word> set_bits(PhysAddr at, Word seen, std::uint64_t bits, EntryAccess access_entry) {
    const EptEntry entry(seen.value);
    if ((entry.raw() & bits) == bits) return seen;
    const auto set = [&](Word now, Instant) {
        const EptEntry current(now.value);
        return same_mapping(current, entry) ? Word{current.with(bits).raw(), now.generation} : now;
    };
    const rmap::PhysMemPort::Apply apply(set);
    const Word old = access_entry(at, &apply).word;
    if (!same_mapping(EptEntry(old.value), entry)) return std::nullopt;
    return Word{EptEntry(old.value).with(bits).raw(), old.generation};
}

}  // namespace

std::optional<Translation> walk_second_stage(PhysAddr root, rmap::GuestPhysAddr address,
                                             Access access, EntryAccess access_entry) {
    FrameNumber table = rmap::frame_of(root);
    bool writable = true;
    bool executable = true;
    for (unsigned level = rmap::kEptLevels;;) {
        const PhysAddr at = rmap::entry_address(table, address, level);
        const EntryRead read = access_entry(at, nullptr);
        const EptEntry entry(read.word.value);
        if (!allows(entry, access)) return std::nullopt;
        const bool large = level == 2 && entry.large();
        if (level > 1 && !large) {
            writable = writable && entry.writable();
            executable = executable && entry.executable();
            table = entry.frame();
            --level;
            continue;
        }
        const auto word = set_bits(at, read.word, bits_of(access), access_entry);
        if (!word) continue;
        const EptEntry leaf(word->value);
        Translation result;
        result.frame = leaf.frame();
        result.generation = word->generation;
        result.writable = writable && leaf.writable();
        result.executable = executable && leaf.executable();
        result.dirty = leaf.dirty();
        result.order = large ? rmap::kLargeOrder : 0;
        result.read_at = read.at;
        return result;
    }
}

PhysAddr physical(rmap::GuestPhysAddr address, const Translation& leaf) {
    const std::uint64_t size = rmap::kPageSize << leaf.order;
    return rmap::address_of(leaf.frame) + address.value % size;
}

Translation combine(PageNumber page, const Translation& first, const Translation& second) {
    Translation both = second;
    both.order = std::min(first.order, second.order);
    // The first frame of the smaller page, which may be a part of the second stage's.
    const PageNumber guest{first.frame_of(page).value};
    const std::uint64_t start = guest.value >> both.order << both.order;
    both.frame = second.frame_of(PageNumber{start});
    both.writable = first.writable && second.writable;
    both.executable = first.executable && second.executable;
    both.dirty = first.dirty && second.dirty;
    both.global = first.global;
    both.oldest_read = first.oldest_read;
    return both;
}

}  // namespace mmusim::models
