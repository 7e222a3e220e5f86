// SPDX-License-Identifier: Apache-2.0
#include "models/walker/page_walker_module.hpp"

#include "models/tlm/thread_time.hpp"

namespace mmusim::models {

using rmap::Access;
using rmap::Fault;
using rmap::FrameNumber;
using rmap::Instant;
using rmap::PhysAddr;
using rmap::Pte;
using rmap::Word;

PageWalkerModule::PageWalkerModule(const sc_core::sc_module_name& name, const WalkerConfig& config)
    : sc_module(name), config_(config) {
    tlb_socket.register_b_transport(this, &PageWalkerModule::b_transport);
}

void PageWalkerModule::b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay) {
    auto& request = extension_of<TranslationExtension>(trans, name());
    ++stats_.walks;
    delay += to_sc_time(config_.start);
    request.fault = walk(rmap::VirtAddr{trans.get_address()}, request, delay);
    if (request.fault != Fault::kNone) ++stats_.faults;
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

Word PageWalkerModule::access(PhysAddr at, const rmap::PhysMemPort::Apply* apply,
                              TranslationExtension& request, sc_core::sc_time& delay) {
    PayloadPool<CoherenceExtension>::Loan loan(pool_);
    auto& side = loan.extension();
    side.operation = request.operation;
    side.time = request.time;
    side.cache = request.cache;
    side.part = rmap::Part::kUser;
    side.apply = apply;
    auto& trans = loan.payload();
    trans.set_command(apply ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
    trans.set_address(at.value);
    trans.set_data_ptr(reinterpret_cast<unsigned char*>(&side.word.value));
    trans.set_data_length(sizeof(side.word.value));
    trans.set_streaming_width(sizeof(side.word.value));
    memory_socket->b_transport(trans, delay);
    if (trans.is_response_error()) SC_REPORT_ERROR(name(), "a page table lies outside of memory");
    read_at_ = side.read_at;
    return side.word;
}

Fault PageWalkerModule::walk(rmap::VirtAddr address, TranslationExtension& request,
                             sc_core::sc_time& delay) {
    FrameNumber table = rmap::frame_of(request.root);
    unsigned level = rmap::kPageTableLevels;
    request.page_table = request.known_table;
    if (request.known_table) {
        table = request.known_table->frame;
        level = 1;
        oldest_read_ = request.known_table->oldest_read;
    }
    for (; level >= 1; --level) {
        delay += to_sc_time(config_.level);
        const PhysAddr at = rmap::entry_address(table, address, level);
        const Word word = access(at, nullptr, request, delay);
        ++stats_.reads;
        if (level == rmap::kPageTableLevels) oldest_read_ = read_at_;
        const Pte entry(word.value);
        if (!entry.present()) return Fault::kNotPresent;
        if (level == 1 || (level == 2 && entry.huge()))
            return leaf(at, word, level, request, delay);
        table = entry.frame();
        if (level == 2) request.page_table = WalkedTable{table, oldest_read_};
    }
    return Fault::kNotPresent;
}

Fault PageWalkerModule::leaf(PhysAddr at, Word word, unsigned level, TranslationExtension& request,
                             sc_core::sc_time& delay) {
    const bool store = request.access == Access::kWrite;
    const Instant read_at = read_at_;
    Pte entry(word.value);
    if (store && !entry.writable()) return Fault::kProtection;

    const std::uint64_t bits = Pte::kAccessed | (store ? Pte::kDirty : 0);
    if ((entry.raw() & bits) != bits) {
        ++stats_.assists;
        // What was read may be older than what is there now: set bits only in the same mapping.
        const auto set_bits = [&](Word now, Instant) {
            const Pte current(now.value);
            const bool same = current.present() && current.frame() == entry.frame() &&
                              (!store || current.writable());
            return same ? Word{current.with(bits).raw(), now.generation} : now;
        };
        const rmap::PhysMemPort::Apply apply(set_bits);
        word = access(at, &apply, request, delay);
        const Pte old(word.value);
        if (!old.present() || old.frame() != entry.frame()) return Fault::kNotPresent;
        if (store && !old.writable()) return Fault::kProtection;
        entry = old.with(bits);
    }
    auto& result = request.translation;
    result.frame = entry.frame();
    result.generation = word.generation;
    result.writable = entry.writable();
    result.dirty = entry.dirty();
    result.large = level == 2;
    result.global = entry.global();
    result.read_at = read_at;
    result.oldest_read = oldest_read_;
    return Fault::kNone;
}

}  // namespace mmusim::models
