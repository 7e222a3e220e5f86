// SPDX-License-Identifier: Apache-2.0
#include "notifiers/notifier_chain.hpp"

#include <algorithm>

#include "rmap/types/check.hpp"

namespace mmusim::notifiers {

using rmap::Cpu;
using rmap::Event;
using rmap::Generation;
using rmap::Instant;
using rmap::MmId;
using rmap::NotifierRange;
using rmap::Part;
using rmap::Pte;
using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

void dispatch(Cpu& cpu, Part part) { cpu.spend(cpu.costs().notifier_call, part); }

}  // namespace

void NotifierChain::register_client(MmId mm, NotifierClient& client) {
    List& list = watched_[mm].list;
    MMUSIM_CHECK(std::find(list.begin(), list.end(), &client) == list.end(),
                 "a client watches an mm once");
    list.insert(list.begin(), &client);
}

void NotifierChain::unregister_client(Cpu& cpu, MmId mm, NotifierClient& client) {
    List& list = watched_[mm].list;
    const auto it = std::find(list.begin(), list.end(), &client);
    MMUSIM_CHECK(it != list.end(), "only a registered client can be unregistered");
    if (client.ops().release) client.release(cpu, mm);
    list.erase(it);
}

/// srcu_read_lock() to srcu_read_unlock().
class NotifierChain::ReadSection {
public:
    ReadSection(Cpu& cpu, Reader& reader) : cpu_(cpu), reader_(reader) {
        reader_ = {cpu.now(), rmap::kNever};
    }
    ~ReadSection() { reader_.end = cpu_.now(); }
    ReadSection(const ReadSection&) = delete;
    ReadSection& operator=(const ReadSection&) = delete;

private:
    Cpu& cpu_;
    Reader& reader_;
};

const NotifierChain::List* NotifierChain::clients_of(Cpu& cpu, MmId mm) const {
    static const List kEmpty;
    const auto it = watched_.find(mm);
    if (it == watched_.end()) return nullptr;
    cpu.time().observe(rmap::Observed::kMemory);
    const Watched& watched = it->second;
    const bool released =
        watched.released_by == cpu.time().actor() || watched.released <= cpu.now();
    return released ? &kEmpty : &watched.list;
}

void NotifierChain::release(Cpu& cpu, MmId mm) {
    const List* clients = clients_of(cpu, mm);
    if (!clients) return;
    cpu.emit(Event::kMnRelease, {mm});
    for (NotifierClient* client : *clients) {
        if (!client->ops().release) continue;
        dispatch(cpu, Part::kNotifierRelease);
        client->release(cpu, mm);
    }
    Watched& watched = watched_.at(mm);
    watched.released = cpu.now() + cpu.time().visibility();
    watched.released_by = cpu.time().actor();
    synchronize_srcu(cpu);
    cpu.emit(Event::kMnReleaseRet, {mm});
}

void NotifierChain::synchronize_srcu(Cpu& cpu) {
    const Instant begun = cpu.now() + cpu.time().visibility();
    const auto under_way = [&] {
        return std::any_of(readers_.begin(), readers_.end(), [&](const auto& entry) {
            const Reader& reader = entry.second;
            return reader.begin < begun && reader.end > cpu.now();
        });
    };
    do {
        cpu.spend(cpu.costs().synchronize_srcu, Part::kNotifierRelease);
        cpu.time().sync_before_visible_action();
    } while (under_way());
}

void NotifierChain::invalidate_range_start(Cpu& cpu, const NotifierRange& range) {
    MMUSIM_CHECK(range.blockable, "this form may sleep");
    MMUSIM_CHECK(start(cpu, range) == StartResult::kDone,
                 "only a range that is not blockable can be refused");
}

StartResult NotifierChain::invalidate_range_start_nonblock(Cpu& cpu, const NotifierRange& range) {
    MMUSIM_CHECK(!range.blockable, "this form may not sleep");
    return start(cpu, range);
}

StartResult NotifierChain::start(Cpu& cpu, const NotifierRange& range) {
    const List* clients = clients_of(cpu, range.mm);
    if (!clients) return StartResult::kDone;
    const ReadSection section(cpu, readers_[cpu.time().actor()]);
    cpu.emit(Event::kMnStart,
             {range.mm, range.range.start.value, range.range.end.value, range.blockable});
    StartResult result = StartResult::kDone;
    for (NotifierClient* client : *clients) {
        if (!client->ops().invalidate_range_start) continue;
        dispatch(cpu, Part::kNotifierStart);
        if (client->invalidate_range_start(cpu, range) == StartResult::kTryAgain)
            result = StartResult::kTryAgain;
    }
    cpu.emit(Event::kMnStartRet, {range.mm, range.range.start.value, range.range.end.value,
                                  result == StartResult::kTryAgain});
    return result;
}

void NotifierChain::invalidate_range_end(Cpu& cpu, const NotifierRange& range) {
    end(cpu, range, Ending::kWithInvalidate);
}

void NotifierChain::invalidate_range_only_end(Cpu& cpu, const NotifierRange& range) {
    end(cpu, range, Ending::kOnly);
}

void NotifierChain::end(Cpu& cpu, const NotifierRange& range, Ending ending) {
    const List* clients = clients_of(cpu, range.mm);
    if (!clients) return;
    const ReadSection section(cpu, readers_[cpu.time().actor()]);
    const bool only_end = ending == Ending::kOnly;
    cpu.emit(Event::kMnEnd, {range.mm, range.range.start.value, range.range.end.value, only_end});
    for (NotifierClient* client : *clients) {
        const NotifierOps ops = client->ops();
        if (!only_end && ops.invalidate_range) {
            dispatch(cpu, Part::kNotifierInvalidate);
            client->invalidate_range(cpu, range.mm, range.range);
        }
        if (ops.invalidate_range_end) {
            dispatch(cpu, Part::kNotifierEnd);
            client->invalidate_range_end(cpu, range);
        }
    }
    cpu.emit(Event::kMnEndRet, {range.mm, range.range.start.value, range.range.end.value});
}

void NotifierChain::invalidate_range(Cpu& cpu, MmId mm, VirtRange range) {
    const List* clients = clients_of(cpu, mm);
    if (!clients) return;
    const ReadSection section(cpu, readers_[cpu.time().actor()]);
    cpu.emit(Event::kMnInvalidateRange, {mm, range.start.value, range.end.value});
    for (NotifierClient* client : *clients) {
        if (!client->ops().invalidate_range) continue;
        dispatch(cpu, Part::kNotifierInvalidate);
        client->invalidate_range(cpu, mm, range);
    }
}

bool NotifierChain::clear_flush_young(Cpu& cpu, MmId mm, VirtRange range) {
    const List* clients = clients_of(cpu, mm);
    if (!clients) return false;
    const ReadSection section(cpu, readers_[cpu.time().actor()]);
    cpu.emit(Event::kMnClearFlushYoung, {mm, range.start.value, range.end.value});
    bool young = false;
    for (NotifierClient* client : *clients) {
        if (!client->ops().clear_flush_young) continue;
        dispatch(cpu, Part::kNotifierAging);
        // Every client is asked: each has accessed bits of its own to clear.
        if (client->clear_flush_young(cpu, mm, range)) young = true;
    }
    cpu.emit(Event::kMnClearFlushYoungRet, {young});
    return young;
}

bool NotifierChain::clear_young(Cpu& cpu, MmId mm, VirtRange range) {
    const List* clients = clients_of(cpu, mm);
    if (!clients) return false;
    const ReadSection section(cpu, readers_[cpu.time().actor()]);
    cpu.emit(Event::kMnClearYoung, {mm, range.start.value, range.end.value});
    bool young = false;
    for (NotifierClient* client : *clients) {
        if (!client->ops().clear_young) continue;
        dispatch(cpu, Part::kNotifierAging);
        if (client->clear_young(cpu, mm, range)) young = true;
    }
    cpu.emit(Event::kMnClearYoungRet, {young});
    return young;
}

void NotifierChain::change_pte(Cpu& cpu, MmId mm, VirtAddr address, Pte pte,
                               Generation generation) {
    const List* clients = clients_of(cpu, mm);
    if (!clients) return;
    const ReadSection section(cpu, readers_[cpu.time().actor()]);
    cpu.emit(Event::kMnChangePte, {mm, address.value, pte.raw()});
    for (NotifierClient* client : *clients) {
        if (!client->ops().change_pte) continue;
        dispatch(cpu, Part::kNotifierChangePte);
        client->change_pte(cpu, mm, address, pte, generation);
    }
}

}  // namespace mmusim::notifiers
