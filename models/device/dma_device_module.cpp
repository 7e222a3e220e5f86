// SPDX-License-Identifier: Apache-2.0
#include "models/device/dma_device_module.hpp"

#include "models/tlm/guarded_process.hpp"
#include "rmap/types/check.hpp"
#include "rmap/types/time_rule.hpp"

namespace mmusim::models {

using rmap::Access;
using rmap::Completion;
using rmap::Event;
using rmap::Instant;
using rmap::Part;
using rmap::Pasid;
using rmap::VirtAddr;

DmaDeviceModule::DmaDeviceModule(const sc_core::sc_module_name& name, const Config& config,
                                 DeviceProgram& program, AccessObserver* observer,
                                 const EventObservers& observers)
    : sc_module(name),
      config_(config),
      program_(program),
      account_(config.engine),
      time_(config.engine, config.lookahead, account_, {{}, [this] { observed_.settle_many(); }}),
      engine_events_(config.engine, observers),
      atc_(config.device.atc),
      observed_(config.engine, observer),
      atc_events_(config.atc, observers) {
    invalidate_socket.register_b_transport(this, &DmaDeviceModule::receive_invalidation);
    SC_HAS_PROCESS(DmaDeviceModule);
    SC_METHOD(serve_invalidations_method);
    sensitive << inbox_.arrival_event();
    dont_initialize();
    SC_THREAD(run_program_thread);
}

EventCounts DmaDeviceModule::event_counts() const {
    EventCounts counts = engine_events_.counts();
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += atc_events_.counts()[i];
    return counts;
}

void DmaDeviceModule::run_program_thread() {
    failure_ = run_guarded([&] {
        time_.set_interrupts(rmap::Interrupts::kOff);
        program_.run(*this);
        at_work_ = false;
        time_.halt(Part::kIdle);
    });
}

// ---- the engine ----

DmaResult DmaDeviceModule::access(Pasid pasid, VirtAddr address, Access kind) {
    const Instant free = in_flight_.fewer_than(config_.device.max_in_flight);
    time_.advance_to(rmap::max(time_.local_now(), free), Part::kUser);
    if (config_.device.ats) {
        const auto translation = translate(pasid, address, kind);
        if (!translation) return refuse(pasid, address, kind);
        start(pasid, address, kind, *translation, time_.local_now());
    } else {
        const auto answer = request(DmaRequest::Kind::kUntranslated, pasid, address, kind);
        if (!answer.permitted) return refuse(pasid, address, kind);
        start(pasid, address, kind, answer.translation, answer.sent);
    }
    return DmaResult::kStarted;
}

/// What the access may use at the local time at which this returns; none: it has no permission.
/// Lookup and fill decide at their end, so that the access starts when it was decided on.
std::optional<Translation> DmaDeviceModule::translate(Pasid pasid, VirtAddr address, Access kind) {
    const auto page = rmap::page_of(address);
    for (;;) {
        time_.advance(config_.device.atc.lookup, Part::kUser);
        apply_invalidations();
        if (const auto* hit = atc_.lookup(page, {pasid, 0}, kind)) return *hit;

        const auto answer = request(DmaRequest::Kind::kTranslation, pasid, address, kind);
        if (!answer.permitted) return std::nullopt;
        time_.advance(config_.device.atc.fill, Part::kUser);
        apply_invalidations();
        if (!overtaken(pasid, page, answer.translation)) {
            atc_.insert(page, {pasid, 0}, answer.translation);
            return answer.translation;
        }
        ++stats_.stale_answers;
    }
}

DmaAnswer DmaDeviceModule::request(DmaRequest::Kind request_kind, Pasid pasid, VirtAddr address,
                                   Access kind) {
    ++stats_.requests;
    DmaAnswer answer;
    Completion answered(time_);
    PayloadPool<DmaTranslationExtension>::Loan loan(pool_);
    auto& message = loan.extension();
    const auto& device = config_.device;
    message.key = time_.next_key(time_.local_now() + device.link);
    message.request = {request_kind, account_.current(), device.source, pasid,    address,
                       kind,         device.transfer,    &answer,       &answered};
    loan.payload().set_command(kind == Access::kRead ? tlm::TLM_READ_COMMAND
                                                     : tlm::TLM_WRITE_COMMAND);
    loan.payload().set_address(address.value);
    auto delay = time_.offset() + to_sc_time(device.link);
    iommu_socket->b_transport(loan.payload(), delay);
    time_.await(answered, Part::kUser);
    return answer;
}

/// Everything that has arrived by local time, in its order; that is all that can be.
void DmaDeviceModule::apply_invalidations() {
    if (!broken(rmap::TimeRule::kDeviceInvalidations)) time_.observe(rmap::Observed::kInvalidation);
    decided_ = time_.local_now();
    applied_.clear();
    while (arriving_.next_at() <= decided_) {
        const auto item = arriving_.take();
        const auto& request = item.value;
        atc_.invalidate(scope_of(request.pasid, request.range, item.key.time));
        applied_.push_back({item.key.time, request.pasid, request.range});
    }
}

/// Whether an invalidation that has arrived since the last lookup may concern what was answered.
bool DmaDeviceModule::overtaken(Pasid pasid, rmap::PageNumber page,
                                const Translation& translation) const {
    return std::any_of(applied_.begin(), applied_.end(), [&](const Applied& applied) {
        return applied.pasid == pasid && applied.range.overlaps(translation.pages_around(page)) &&
               translation.oldest_read <= applied.arrived;
    });
}

DmaResult DmaDeviceModule::refuse(Pasid pasid, VirtAddr address, Access kind) {
    ++stats_.faults;
    engine_events_.emit(time_.local_now(), account_.current(), Event::kDmaFault,
                        {pasid, rmap::page_start(address).value, kind == Access::kWrite});
    return DmaResult::kFault;
}

void DmaDeviceModule::start(Pasid pasid, VirtAddr address, Access kind,
                            const Translation& translation, Instant start) {
    ++stats_.accesses;
    const Instant end = start + config_.device.transfer;
    in_flight_.forget(kernel_now());
    in_flight_.add(pasid, address, start, end);
    if (!observed_.on()) return;
    const auto label = labels_.find(pasid);
    const rmap::MmId mm = label == labels_.end() ? 0 : label->second;
    observed_.set_context(mm, 0);
    observed_.write(end, rmap::page_of(address), kind, translation);
}

// ---- the home: invalidate requests ----

void DmaDeviceModule::receive_invalidation(tlm::tlm_generic_payload& trans, sc_core::sc_time&) {
    const auto& message = extension_of<DeviceTlbInvalidationExtension>(trans, name());
    MMUSIM_CHECK(message.invalidation.source == config_.device.source,
                 "invalidations reach the device that they are meant for");
    if (message.key.time <= decided_) late_.add(decided_ - message.key.time + rmap::picoseconds(1));
    if (at_work_) arriving_.post(message.key, message.invalidation);
    inbox_.post(message.key, {message.invalidation, {}});
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

void DmaDeviceModule::serve_invalidations_method() {
    inbox_.serve([&](const auto& item) {
        if (item.value.in_flight)
            emit(Event::kAtsInvalidateCompletion, item.value.request, *item.value.in_flight);
        else
            invalidate(item.value.request);
    });
}

/// The engine's local time has come as far as the arrival, so that all accesses are known that
/// started before it; an access that starts later does not use what is invalidated here.
void DmaDeviceModule::invalidate(const DeviceTlbInvalidation& request) {
    ++stats_.invalidations;
    emit(Event::kAtcInvalidated, request, 0);
    const Instant now = kernel_now();
    Instant done = now + config_.device.atc_invalidate;
    if (config_.fault != rmap::InjectedFault::kCompleteBeforeDma)
        done = rmap::max(done, in_flight_.last_end(request.pasid, request.range, now));
    inbox_.post({done, config_.atc, ++sequence_},
                {request, in_flight_.running(request.pasid, request.range, now, done)});
    request.completion->complete(done + config_.device.link);
}

void DmaDeviceModule::emit(Event event, const DeviceTlbInvalidation& request,
                           std::uint64_t in_flight) {
    atc_events_.emit(kernel_now(), request.operation, event,
                     {config_.device.source, request.pasid, request.range.start.value,
                      request.range.end.value, in_flight});
}

// ---- words of memory ----

rmap::Word DmaDeviceModule::Words::load(rmap::PhysAddr address, rmap::Part part) {
    return memory_.load(*device_.memory_socket.operator->(), address, 0, part).word;
}

rmap::Word DmaDeviceModule::Words::read_modify_write(rmap::PhysAddr address, Apply apply,
                                                     rmap::Part part) {
    return memory_.access(*device_.memory_socket.operator->(), address, &apply, 0, part).word;
}

}  // namespace mmusim::models
