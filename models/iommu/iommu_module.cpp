// SPDX-License-Identifier: Apache-2.0
#include "models/iommu/iommu_module.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "rmap/types/check.hpp"

namespace mmusim::models {

using rmap::Access;
using rmap::Duration;
using rmap::Event;
using rmap::Instant;
using rmap::VirtAddr;
using rmap::VirtRange;

namespace {

/// A walk may turn out to be of a 2 MiB page, and it goes through the table of that region.
VirtRange region_of(VirtAddr address) { return rmap::aligned_pages(address, rmap::kLargeOrder); }

bool concerns(const IommuInvalidation& invalidation, rmap::Pasid pasid, const VirtRange& pages) {
    return invalidation.pasid == pasid && invalidation.range.overlaps(pages);
}

/// What a walk for one kind of access has come to is true of the other.
bool serves(const DmaWalkResult& result, Access walked, Access asked) {
    if (walked == asked) return true;
    if (result.reason != FaultReason::kNone) return false;
    const auto& entry = result.translation;
    return asked == Access::kWrite ? entry.writable && entry.dirty : entry.readable;
}

}  // namespace

IommuModule::IommuModule(const sc_core::sc_module_name& name, const Config& config,
                         const EventObservers& observers)
    : sc_module(name),
      queue("queue", {config.queue, config.lookahead, config.iommu, config.devices}, *this,
            observers),
      config_(config),
      iotlb_(config.iommu.iotlb),
      walk_cache_({{}, 2, config.iommu.walk_cache, {}}, *config.iommu.walker.first.format),
      pasid_cache_(config.iommu.pasid_cache),
      faults_(config.iommu.fault_records),
      events_(config.home, observers),
      walks_(config.iommu.walkers) {
    for (unsigned n = 0; n < config.iommu.walkers; ++n)
        walkers_.push_back(std::make_unique<IommuWalkerModule>(
            ("walker" + std::to_string(n)).c_str(),
            IommuWalkerModule::Config{config.first_walker + n, config.lookahead,
                                      config.iommu.walker, config.iommu.iotlb.fill},
            [this, n](const EffectKey& key, const DmaWalkResult& result) {
                inbox_.post(key, WalkReport{n, result});
            }));
    device_sockets.register_b_transport(this, &IommuModule::receive_request);
    SC_HAS_PROCESS(IommuModule);
    SC_METHOD(serve_method);
    sensitive << inbox_.arrival_event();
    dont_initialize();
}

void IommuModule::set_root_table(rmap::PhysAddr root_table) {
    for (auto& walker : walkers_) walker->set_root_table(root_table);
}

std::exception_ptr IommuModule::failure() const {
    if (queue.failure()) return queue.failure();
    for (const auto& walker : walkers_)
        if (walker->failure()) return walker->failure();
    return nullptr;
}

Duration IommuModule::link_of(rmap::SourceId source) const {
    for (const auto& device : config_.devices)
        if (device.source == source) return device.link;
    MMUSIM_CHECK(false, "a request comes from a device of the unit");
    return {};
}

// ---- arrivals ----

/// The lookup takes its time before anything is decided, and lookups do not wait for each other.
void IommuModule::receive_request(int, tlm::tlm_generic_payload& trans, sc_core::sc_time&) {
    const auto& message = extension_of<DmaTranslationExtension>(trans, name());
    EffectKey key = message.key;
    key.time += config_.iommu.iotlb.lookup;
    inbox_.post(key, message.request);
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

void IommuModule::post_invalidation(const EffectKey& key, const IommuInvalidation& invalidation) {
    inbox_.post(key, invalidation);
}

void IommuModule::serve_method() {
    inbox_.serve([this](const auto& item) {
        std::visit([this](const auto& message) { serve(message); }, item.value);
    });
}

// ---- translation ----

/// The IOTLB answers only for devices that the PASID cache knows: its tags name no device.
void IommuModule::serve(const DmaRequest& request) {
    const bool untranslated = request.kind == DmaRequest::Kind::kUntranslated;
    ++(untranslated ? stats_.untranslated : stats_.translation_requests);
    const auto* known = pasid_cache_.lookup(request.source, request.pasid);
    if (known && (untranslated || known->device_tlb)) {
        const auto page = rmap::page_of(request.address);
        if (const auto* hit = iotlb_.lookup(page, {request.pasid, 0}, request.access)) {
            answer(request, FaultReason::kNone, *hit);
            return;
        }
    }
    enqueue(request);
}

/// A miss waits for a walker, or for the walk that another one of the same page has asked for.
void IommuModule::enqueue(const DmaRequest& request) {
    if (Miss* same = miss_for(request)) {
        same->merged.push_back(request);
        ++stats_.merged;
        return;
    }
    waiting_.push_back({request, {}});
    start_walks();
    if (!waiting_.empty()) ++stats_.queued;
}

/// What an invalidation has overtaken is not for those who come after it.
IommuModule::Miss* IommuModule::miss_for(const DmaRequest& request) {
    for (auto& walk : walks_)
        if (walk && !walk->overtaken && one_walk(walk->miss.request, request)) return &walk->miss;
    for (auto& miss : waiting_)
        if (one_walk(miss.request, request)) return &miss;
    return nullptr;
}

/// Whether the first one's walk can be for the second as well. Of different devices only if it is
/// known that they have the same page tables and may ask for them.
bool IommuModule::one_walk(const DmaRequest& first, const DmaRequest& second) {
    if (first.pasid != second.pasid ||
        rmap::page_of(first.address) != rmap::page_of(second.address))
        return false;
    if (first.source == second.source && first.kind == second.kind) return true;
    const auto* own = pasid_cache_.lookup(second.source, second.pasid);
    if (!own || (second.kind == DmaRequest::Kind::kTranslation && !own->device_tlb)) return false;
    const auto* other = pasid_cache_.lookup(first.source, first.pasid);
    return other && other->first_level == own->first_level;
}

void IommuModule::start_walks() {
    for (std::size_t n = 0; n < walkers_.size() && !waiting_.empty(); ++n) {
        if (walks_[n]) continue;
        Miss miss = std::move(waiting_.front());
        waiting_.pop_front();
        const DmaRequest& request = miss.request;
        DmaWalk walk{request, {}, {}};
        if (const auto* entry = pasid_cache_.lookup(request.source, request.pasid))
            walk.pasid_entry = *entry;
        if (const auto* table = walk_cache_.lookup({request.pasid, 0}, request.address.value))
            walk.page_table = *table;
        ++stats_.walks;
        walks_[n] = Walk{std::move(miss), {}};
        walkers_[n]->start(walk);
    }
}

void IommuModule::serve(const WalkReport& report) {
    const Walk walk = std::move(*walks_[report.walker]);
    walks_[report.walker].reset();
    const DmaWalkResult& result = report.result;
    fill(walk, result);
    Instant end = answer(walk.miss.request, result.reason, result.translation);
    std::vector<DmaRequest> others;
    for (const auto& request : walk.miss.merged)
        if (serves(result, walk.miss.request.access, request.access))
            end = rmap::max(end, answer(request, result.reason, result.translation));
        else
            others.push_back(request);
    if (walk.overtaken) {
        --draining_->walks;
        draining_->until = rmap::max(draining_->until, end);
        end_invalidation_when_drained();
    }
    for (const auto& request : others) enqueue(request);
    start_walks();
}

/// Whether what a walk has read may be what the invalidation under way is about.
bool IommuModule::doubtful(const Walk& walk, IommuInvalidation::Kind kind, const VirtRange& pages,
                           Instant oldest_read) const {
    return walk.overtaken && draining_->invalidation.kind == kind &&
           draining_->invalidation.range.overlaps(pages) && oldest_read <= draining_->effect;
}

/// Caches what the walk has found, except what an invalidation on its way has made doubtful.
void IommuModule::fill(const Walk& walk, const DmaWalkResult& result) {
    using Kind = IommuInvalidation::Kind;
    const DmaRequest& request = walk.miss.request;
    if (const auto& entry = result.pasid_entry)
        if (!doubtful(walk, Kind::kPasidCache, rmap::kAllAddresses, entry->oldest_read))
            pasid_cache_.insert(request.source, request.pasid, *entry);
    if (const auto& table = result.page_table)
        if (!doubtful(walk, Kind::kIotlb, region_of(request.address), table->oldest_read))
            walk_cache_.insert({request.pasid, 0}, request.address.value, *table);
    if (result.reason != FaultReason::kNone) return;
    const auto page = rmap::page_of(request.address);
    const Translation& translation = result.translation;
    if (doubtful(walk, Kind::kIotlb, translation.pages_around(page), translation.oldest_read))
        ++stats_.discarded;
    else
        iotlb_.insert(page, {request.pasid, 0}, translation);
}

/// Returns when the request is over as far as the IOMMU is concerned.
Instant IommuModule::answer(const DmaRequest& request, FaultReason reason,
                            const Translation& translation) {
    const Instant now = kernel_now();
    const bool permitted = reason == FaultReason::kNone;
    *request.answer = {permitted, translation, now};
    request.answered->complete(now + link_of(request.source));
    const bool translation_only = request.kind == DmaRequest::Kind::kTranslation;
    if (!permitted && !(translation_only && is_recoverable(reason))) record_fault(request, reason);
    if (!permitted || translation_only) return now;
    transfers_.erase(std::remove_if(transfers_.begin(), transfers_.end(),
                                    [&](const Transfer& t) { return t.end <= now; }),
                     transfers_.end());
    transfers_.push_back(
        {request.pasid, rmap::aligned_pages(request.address, 0), now + request.transfer});
    return now + request.transfer;
}

void IommuModule::record_fault(const DmaRequest& request, FaultReason reason) {
    ++stats_.faults;
    const VirtAddr page = rmap::page_start(request.address);
    faults_.record({request.source, request.pasid, page, reason, request.access, kernel_now()});
    events_.emit(kernel_now(), request.operation, Event::kIommuFault,
                 {request.source, request.pasid, page.value, static_cast<std::uint64_t>(reason),
                  request.access == Access::kWrite});
}

// ---- invalidation ----

void IommuModule::serve(const IommuInvalidation& invalidation) {
    MMUSIM_CHECK(!draining_, "the queue awaits an invalidation before it starts another");
    const Instant now = kernel_now();
    draining_ = Draining{invalidation, now, 0, 0, now};
    if (invalidation.kind == IommuInvalidation::Kind::kIotlb) {
        const auto scope = scope_of(invalidation.pasid, invalidation.range, now);
        draining_->entries = iotlb_.invalidate(scope);
        walk_cache_.invalidate(scope);
    } else {
        draining_->entries = pasid_cache_.invalidate(invalidation.pasid, now);
    }
    for (const auto& transfer : transfers_)
        if (concerns(invalidation, transfer.pasid, transfer.pages))
            draining_->until = rmap::max(draining_->until, transfer.end);
    for (auto& walk : walks_) {
        if (!walk) continue;
        const DmaRequest& request = walk->miss.request;
        if (!concerns(invalidation, request.pasid, region_of(request.address))) continue;
        walk->overtaken = true;
        ++draining_->walks;
    }
    end_invalidation_when_drained();
}

/// Accesses that the last walks have answered may be under way still.
void IommuModule::end_invalidation_when_drained() {
    if (draining_->walks > 0) return;
    if (draining_->until <= kernel_now())
        serve(Drained{});
    else
        inbox_.post({draining_->until, config_.home, ++sequence_}, Drained{});
}

void IommuModule::serve(const Drained&) {
    const auto& invalidation = draining_->invalidation;
    if (invalidation.kind == IommuInvalidation::Kind::kIotlb)
        events_.emit(kernel_now(), invalidation.operation, Event::kIotlbInvalidated,
                     {invalidation.pasid, invalidation.range.start.value,
                      invalidation.range.end.value, draining_->entries});
    else
        events_.emit(kernel_now(), invalidation.operation, Event::kPasidCacheInvalidated,
                     {invalidation.pasid, draining_->entries});
    invalidation.done->complete(kernel_now());
    draining_.reset();
}

}  // namespace mmusim::models
