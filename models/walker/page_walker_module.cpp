// SPDX-License-Identifier: Apache-2.0
#include "models/walker/page_walker_module.hpp"

#include "models/tlm/thread_time.hpp"
#include "models/walker/nested_walk.hpp"

namespace mmusim::models {

using rmap::Access;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::GuestPhysAddr;
using rmap::Instant;
using rmap::PhysAddr;
using rmap::Pte;
using rmap::Word;

namespace {

bool allows(Pte entry, Access access) {
    switch (access) {
        case Access::kRead:
            return true;
        case Access::kWrite:
            return entry.writable();
        case Access::kExecute:
            return entry.executable();
    }
    return false;
}

}  // namespace

PageWalkerModule::PageWalkerModule(const sc_core::sc_module_name& name, const WalkerConfig& config)
    : sc_module(name), config_(config) {
    data_socket.register_b_transport(this, &PageWalkerModule::b_transport);
    fetch_socket.register_b_transport(this, &PageWalkerModule::b_transport);
}

void PageWalkerModule::b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay) {
    auto& request = extension_of<TranslationExtension>(trans, name());
    ++stats_.walks;
    delay += to_sc_time(config_.start);
    request.fault = walk(rmap::VirtAddr{trans.get_address()}, request, delay);
    if (request.vm != 0) ++stats_.nested;
    if (request.fault == Fault::kSecondStage)
        ++stats_.violations;
    else if (request.fault != Fault::kNone)
        ++stats_.faults;
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

Word PageWalkerModule::access(PhysAddr at, const rmap::PhysMemPort::Apply* apply,
                              TranslationExtension& request, sc_core::sc_time& delay) {
    const auto result = accesses_.access(
        *memory_socket.operator->(), {request.operation, request.time, request.cache, request.part},
        at, apply, delay);
    read_at_ = result.at;
    if (!oldest_read_) oldest_read_ = result.at;
    return result.word;
}

Fault PageWalkerModule::walk(rmap::VirtAddr address, TranslationExtension& request,
                             sc_core::sc_time& delay) {
    FrameNumber table = rmap::frame_of(request.root);
    unsigned level = rmap::kPageTableLevels;
    request.page_table = request.known_table;
    oldest_read_.reset();
    if (request.known_table) {
        table = request.known_table->frame;
        level = 1;
        oldest_read_ = request.known_table->oldest_read;
    }
    for (; level >= 1; --level) {
        PhysAddr at = rmap::entry_address(table, address, level);
        if (request.vm != 0) {
            const auto page = second_stage({at.value}, Access::kWrite, request, delay);
            if (!page) return Fault::kSecondStage;
            at = physical(GuestPhysAddr{at.value}, *page);
        }
        delay += to_sc_time(config_.level);
        const Word word = access(at, nullptr, request, delay);
        ++stats_.reads;
        const Pte entry(word.value);
        if (!entry.valid()) return Fault::kNotPresent;
        if (level == 1 || (level == 2 && entry.huge())) {
            const Fault fault = leaf(at, word, level, request, delay);
            if (fault != Fault::kNone || request.vm == 0) return fault;
            return final_stage(address, request, delay);
        }
        table = entry.frame();
        if (level == 2) request.page_table = WalkedTable{table, *oldest_read_};
    }
    return Fault::kNotPresent;
}

Fault PageWalkerModule::leaf(PhysAddr at, Word word, unsigned level, TranslationExtension& request,
                             sc_core::sc_time& delay) {
    const bool store = request.access == Access::kWrite;
    const Instant read_at = read_at_;
    Pte entry(word.value);
    if (!allows(entry, request.access)) return Fault::kProtection;

    const std::uint64_t bits = Pte::kAccessed | (store ? Pte::kDirty : 0);
    if ((entry.raw() & bits) != bits) {
        ++stats_.assists;
        // What was read may be older than what is there now: set bits only in the same mapping.
        const auto set_bits = [&](Word now, Instant) {
            const Pte current(now.value);
            const bool same = current.valid() && current.frame() == entry.frame() &&
                              allows(current, request.access);
            return same ? Word{current.with(bits).raw(), now.generation} : now;
        };
        const rmap::PhysMemPort::Apply apply(set_bits);
        word = access(at, &apply, request, delay);
        const Pte old(word.value);
        if (!old.valid() || old.frame() != entry.frame()) return Fault::kNotPresent;
        if (!allows(old, request.access)) return Fault::kProtection;
        entry = old.with(bits);
    }
    auto& result = request.translation;
    result.frame = entry.frame();
    result.generation = word.generation;
    result.writable = entry.writable();
    result.executable = entry.executable();
    result.dirty = entry.dirty();
    result.order = level == 2 ? rmap::kLargeOrder : 0;
    result.global = entry.global();
    result.read_at = read_at;
    result.oldest_read = *oldest_read_;
    return Fault::kNone;
}

std::optional<Translation> PageWalkerModule::second_stage(GuestPhysAddr address, Access kind,
                                                          TranslationExtension& request,
                                                          sc_core::sc_time& delay) {
    const auto access_entry = [&](PhysAddr at, const rmap::PhysMemPort::Apply* apply) {
        if (!apply) delay += to_sc_time(config_.level);
        ++(apply ? stats_.second_stage_assists : stats_.second_stage_reads);
        const Word word = access(at, apply, request, delay);
        return EntryRead{word, read_at_};
    };
    const auto page = walk_second_stage(request.ept_root, address, kind, access_entry);
    if (!page) request.violation = {address, kind};
    return page;
}

/// The guest's own tables have led to a page of its memory; where that is.
Fault PageWalkerModule::final_stage(rmap::VirtAddr address, TranslationExtension& request,
                                    sc_core::sc_time& delay) {
    const auto page = rmap::page_of(address);
    const std::uint64_t offset = address.value % rmap::kPageSize;
    const auto frame = request.translation.frame_of(page);
    const GuestPhysAddr guest{rmap::address_of(frame).value + offset};
    const auto second = second_stage(guest, request.access, request, delay);
    if (!second) return Fault::kSecondStage;
    request.translation = combine(page, request.translation, *second);
    return Fault::kNone;
}

}  // namespace mmusim::models
