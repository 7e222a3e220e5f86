// SPDX-License-Identifier: Apache-2.0
#include "models/mem/memory_module.hpp"

#include "models/mem/data_cache.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/thread_time.hpp"
#include "rmap/types/check.hpp"
#include "rmap/types/time_rule.hpp"

namespace mmusim::models {

using rmap::ActorId;
using rmap::Completion;
using rmap::Duration;
using rmap::Instant;
using rmap::Observed;
using rmap::Part;
using rmap::PhysAddr;
using rmap::TimeRule;
using rmap::Word;

namespace {

unsigned word_of(PhysAddr address) {
    return static_cast<unsigned>(address.value / 8 % kWordsPerLine);
}

}  // namespace

MemoryModule::MemoryModule(const sc_core::sc_module_name& name, const MemoryConfig& config,
                           const Topology& topology)
    : sc_module(name), config_(config), topology_(topology), visibility_(config.visibility()) {
    initiator_sockets.register_b_transport(this, &MemoryModule::b_transport);
    initiator_sockets.register_transport_dbg(this, &MemoryModule::transport_dbg);
    SC_HAS_PROCESS(MemoryModule);
    SC_METHOD(serve_requests_method);
    sensitive << request_event_;
    dont_initialize();
}

void MemoryModule::b_transport(int, tlm::tlm_generic_payload& trans, sc_core::sc_time& delay) {
    auto& access = extension_of<CoherenceExtension>(trans, name());
    const PhysAddr address{trans.get_address()};
    const bool read = trans.get_command() == tlm::TLM_READ_COMMAND;
    if (trans.get_data_length() != 8 || address.value % 8 != 0) {
        trans.set_response_status(tlm::TLM_BURST_ERROR_RESPONSE);
        return;
    }
    if (rmap::frame_of(address).value >= topology_.sockets * topology_.frames_per_node) {
        trans.set_response_status(tlm::TLM_ADDRESS_ERROR_RESPONSE);
        return;
    }
    if (!read && (trans.get_command() != tlm::TLM_WRITE_COMMAND || !access.apply)) {
        trans.set_response_status(tlm::TLM_COMMAND_ERROR_RESPONSE);
        return;
    }
    access.time->rebase(delay, access.part);
    if (read)
        load(access, address);
    else
        lock(access, address);
    delay = access.time->offset();
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

unsigned MemoryModule::transport_dbg(int, tlm::tlm_generic_payload& trans) {
    auto& access = extension_of<CoherenceExtension>(trans, name());
    const PhysAddr address{trans.get_address()};
    access.word = {};
    access.read_at = access.time->local_now();
    const auto line = lines_.find(rmap::line_of(address));
    if (line != lines_.end())
        access.word = line->second->value(
            word_of(address),
            line->second->visible_until(access.time->actor(), access.read_at, visibility_));
    return trans.get_data_length();
}

// ---- costs ----

Duration MemoryModule::transfer(ActorId from, ActorId to) const {
    return config_.latency.same_socket + config_.latency.hop * topology_.hops_between(from, to);
}

Duration MemoryModule::dram(ActorId core, PhysAddr address) const {
    const unsigned node = topology_.node_of_frame(rmap::frame_of(address).value);
    return config_.latency.dram +
           config_.latency.hop * topology_.hops[topology_.socket_of(core)][node];
}

/// Writes serialised before this are visible to every reader that is still to come.
Instant MemoryModule::settled() const {
    const Instant now = kernel_now();
    return {now.ps > visibility_.ps ? now.ps - visibility_.ps : 0};
}

LineHistory& MemoryModule::line_of(PhysAddr address) {
    auto& line = lines_[rmap::line_of(address)];
    if (!line) line = std::make_unique<LineHistory>();
    return *line;
}

// ---- loads ----

void MemoryModule::load(CoherenceExtension& access, PhysAddr address) {
    ThreadTime& time = *access.time;
    const ActorId reader = time.actor();
    time.observe(broken(TimeRule::kObserveSettled) ? Observed::kInterrupt : Observed::kMemory);
    ++stats_.loads;

    LineHistory& line = line_of(address);
    const Instant now = time.local_now();
    if (line.owner != reader && now + visibility_ <= line.owner_decided)  // unknown to its owner
        late_.add(line.owner_decided - (now + visibility_) + rmap::picoseconds(1));
    const Instant until = broken(TimeRule::kStoreVisibility)
                              ? rmap::kNever
                              : line.visible_until(reader, now, visibility_);
    access.word = line.value(word_of(address), until);
    access.read_at = now;
    line.note_read(now, reader);
    if (access.cache->keeps_lines()) line.add_sharer(now, reader, settled());

    const auto held = access.cache->use(rmap::line_of(address), until);
    const auto writer = line.foreign_write(reader, held.seen_until, until);
    Duration cost = config_.latency.l1;
    if (writer)
        cost = transfer(*writer, reader);
    else if (held.level == DataCache::Level::kNeverSeen)
        cost = dram(reader, address);
    else if (held.level == DataCache::Level::kEvicted)
        cost = config_.latency.llc;
    else if (held.level == DataCache::Level::kL2)
        cost = config_.latency.l2;
    time.advance(cost, access.part);
}

// ---- locked instructions ----

Word MemoryModule::write(LineHistory& line, PhysAddr address, Instant at, ActorId actor,
                         const rmap::PhysMemPort::Apply& apply) {
    const unsigned word = word_of(address);
    const Word old = line.latest(word);
    const Word value = apply(old, at);
    const auto& other = line.newest_read.actor == actor ? line.other_read : line.newest_read;
    if (other.actor != rmap::kNoActor && other.time >= at + visibility_)
        late_.add(other.time - (at + visibility_) + rmap::picoseconds(1));
    line.append(word, at, actor, value, settled());
    ++stores_;
    return old;
}

/// The owner of a line acts on it at its own local time, as long as nobody else can have asked
/// for it before (time-model rule 8): an uncontended lock costs one locked instruction.
bool MemoryModule::lock_as_owner(CoherenceExtension& access, LineHistory& line, PhysAddr address) {
    ThreadTime& time = *access.time;
    const Instant now = time.local_now();
    if (line.owner != time.actor() || !access.cache->keeps_lines() || line.busy_until > now ||
        now <= line.last_serialised)
        return false;
    if (!broken(TimeRule::kOwnerFastPath))
        for (const Instant arrival : line.arrivals)
            if (arrival <= now) return false;

    Duration cost = config_.latency.locked;
    line.take_sharers(
        time.actor(), broken(TimeRule::kReadsAreEffects) ? rmap::kNever : now, visibility_,
        [&](ActorId sharer) { cost = rmap::max(cost, transfer(sharer, time.actor())); });
    line.last_serialised = now;
    line.owner_decided = now;
    access.word = write(line, address, now, time.actor(), *access.apply);
    access.cache->use(rmap::line_of(address), now);
    access.read_at = now;
    time.advance(cost, access.part);
    return true;
}

void MemoryModule::lock(CoherenceExtension& access, PhysAddr address) {
    ThreadTime& time = *access.time;
    time.observe(Observed::kMemory);
    ++stats_.locked;
    LineHistory& line = line_of(address);
    if (lock_as_owner(access, line, address)) return;

    ++stats_.transfers;
    const Instant arrival = time.local_now() + visibility_;
    if (arrival <= line.owner_decided)
        late_.add(line.owner_decided - arrival + rmap::picoseconds(1));
    Completion answer(time);
    Instant serialised;
    requests_.post(time.next_key(arrival),
                   {address, access.apply, &access.word, &serialised, &answer});
    line.arrivals.push_back(arrival);
    request_event_.notify(to_sc_time(rmap::time_until(kernel_now(), arrival)));
    if (broken(TimeRule::kSerialisedWrites)) {
        // In the order in which the host happens to call.
        const auto item = requests_.take();
        serve(item.key, item.value);
    }
    time.await_instruction(answer, access.part);
    access.cache->use(rmap::line_of(address), serialised);
    access.read_at = serialised;
}

void MemoryModule::serve_requests_method() {
    while (requests_.next_at() <= kernel_now()) {
        const auto item = requests_.take();
        serve(item.key, item.value);
    }
    if (!requests_.empty()) request_event_.notify(to_sc_time(requests_.next_at() - kernel_now()));
}

/// The home: requests come in key order, each when kernel time has reached its arrival, so that
/// everything that could precede it is known.
void MemoryModule::serve(const EffectKey& key, const Request& request) {
    LineHistory& line = line_of(request.address);
    line.arrivals.erase(std::find(line.arrivals.begin(), line.arrivals.end(), key.time));

    Instant at = rmap::max(key.time, line.busy_until);
    if (at <= line.last_serialised) {
        if (line.last_serialised >= key.time && line.owner_decided == line.last_serialised)
            late_.add(line.last_serialised - at + rmap::picoseconds(1));
        at = line.last_serialised + rmap::picoseconds(1);
    }
    Duration cost = line.owner == rmap::kNoActor ? dram(key.actor, request.address)
                                                 : transfer(line.owner, key.actor);
    // Only readers from before the arrival: of later ones, not all are known yet.
    line.take_sharers(key.actor, key.time, visibility_,
                      [&](ActorId sharer) { cost = rmap::max(cost, transfer(sharer, key.actor)); });
    line.owner = key.actor;
    line.busy_until = at + config_.latency.service;
    line.last_serialised = at;
    *request.old = write(line, request.address, at, key.actor, *request.apply);
    *request.serialised = at;
    // The request took C to come here; the answer takes the rest of the transfer, at least C.
    const Duration answer{cost.ps > 2 * visibility_.ps ? cost.ps - visibility_.ps : visibility_.ps};
    request.answer->complete(at + answer);
}

// ---- before the run ----

Word MemoryModule::Backdoor::load(PhysAddr address, Part) {
    return memory_.line_of(address).latest(word_of(address));
}

Word MemoryModule::Backdoor::read_modify_write(PhysAddr address, Apply apply, Part) {
    LineHistory& line = memory_.line_of(address);
    MMUSIM_CHECK(!line.written(), "memory is set up before anybody writes it");
    const Word old = line.latest(word_of(address));
    line.set_base(word_of(address), apply(old, Instant{}));
    ++memory_.stores_;
    return old;
}

}  // namespace mmusim::models
