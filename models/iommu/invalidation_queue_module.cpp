// SPDX-License-Identifier: Apache-2.0
#include "models/iommu/invalidation_queue_module.hpp"

#include <algorithm>

#include "models/tlm/guarded_process.hpp"
#include "rmap/types/check.hpp"

namespace mmusim::models {

using rmap::Completion;
using rmap::Event;
using rmap::Instant;
using rmap::Part;
using rmap::PhysAddr;
using rmap::QiDescriptor;
using rmap::QiType;
using rmap::VirtRange;

class InvalidationQueueModule::Stages {
public:
    explicit Stages(Completion* completion) : completion_(completion) {}

    /// Stretches of one part in a row are one stage. What comes after as many as a completion can
    /// tell apart goes to the last one.
    void until(Part part, Instant time) {
        if (!stages_.empty() &&
            (stages_.back().part == part || stages_.size() == Completion::kStages))
            stages_.back().until = time;
        else
            stages_.push_back({part, time});
    }
    void complete(Instant at) {
        for (const auto& stage : stages_) completion_->stage(stage.part, stage.until);
        completion_->complete(at);
    }

private:
    struct Stage {
        Part part;
        Instant until;
    };
    Completion* completion_;
    std::vector<Stage> stages_;
};

InvalidationQueueModule::InvalidationQueueModule(const sc_core::sc_module_name& name,
                                                 const Config& config, IommuCaches& caches,
                                                 const EventObservers& observers)
    : sc_module(name),
      config_(config),
      caches_(caches),
      account_(config.actor),
      time_(config.actor, config.lookahead, account_, {}),
      memory_(this->name(), time_, {config.iommu.queue_lines, config.iommu.queue_lines}),
      events_(config.actor, observers) {
    core_sockets.register_b_transport(this, &InvalidationQueueModule::receive_doorbell);
    SC_HAS_PROCESS(InvalidationQueueModule);
    SC_METHOD(take_doorbells_method);
    sensitive << inbox_.arrival_event();
    dont_initialize();
    SC_THREAD(execute_thread);
}

void InvalidationQueueModule::end_of_elaboration() {
    MMUSIM_CHECK(static_cast<std::size_t>(device_sockets.size()) == config_.devices.size(),
                 "device_sockets are bound to all devices of the configuration");
}

// ---- the tail register: a home ----

void InvalidationQueueModule::receive_doorbell(int, tlm::tlm_generic_payload& trans,
                                               sc_core::sc_time&) {
    const auto& message = extension_of<DoorbellExtension>(trans, name());
    inbox_.post(message.key, message.doorbell);
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

void InvalidationQueueModule::take_doorbells_method() {
    inbox_.serve([this](const auto& item) { arrived_.push_back(item.value); });
    if (!arrived_.empty() && bell_ && !bell_->known()) bell_->complete(kernel_now());
}

/// The earliest doorbell not yet executed. One that arrives before this thread's local time does
/// not make it go back.
Doorbell InvalidationQueueModule::next_doorbell() {
    if (arrived_.empty()) {
        bell_.emplace(time_);
        time_.await(*bell_, Part::kIdle);
        bell_.reset();
    }
    const Doorbell doorbell = arrived_.front();
    arrived_.pop_front();
    return doorbell;
}

// ---- the queue ----

void InvalidationQueueModule::execute_thread() {
    failure_ = run_guarded([&] {
        time_.set_interrupts(rmap::Interrupts::kOff);
        for (;;) execute(next_doorbell());
    });
}

std::uint64_t InvalidationQueueModule::read(PhysAddr address, const Doorbell& doorbell) {
    return memory_.load(*memory_socket.operator->(), address, doorbell.operation, Part::kIommuQueue)
        .word.value;
}

QiDescriptor InvalidationQueueModule::fetch(const Doorbell& doorbell) {
    const std::uint64_t low = read(base_ + head_, doorbell);
    const std::uint64_t high = read(base_ + head_ + 8, doorbell);
    time_.advance(config_.iommu.descriptor, Part::kIommuQueue);
    return {low, high};
}

void InvalidationQueueModule::execute(const Doorbell& doorbell) {
    const std::uint64_t size = config_.iommu.queue_entries * QiDescriptor::kBytes;
    MMUSIM_CHECK(doorbell.tail < size && doorbell.tail % QiDescriptor::kBytes == 0,
                 "the tail register points behind a descriptor of the queue");
    ++stats_.doorbells;
    Stages stages(doorbell.write_back);
    stages.until(Part::kIommuQueue, time_.local_now());
    while (head_ != doorbell.tail) {
        const auto descriptor = fetch(doorbell);
        // While devices are at work, fetching costs nobody anything.
        stages.until(outstanding_.empty() ? Part::kIommuQueue : Part::kAtc, time_.local_now());
        const VirtRange range = descriptor.range();
        const bool wait = descriptor.type() == QiType::kInvalidationWait;  // has no PASID
        const std::uint64_t next = (head_ + QiDescriptor::kBytes) % size;
        MMUSIM_CHECK(wait || next != doorbell.tail, "a submission ends with a wait descriptor");
        ++stats_.descriptors;
        events_.emit(time_.local_now(), doorbell.operation, Event::kIommuDescriptor,
                     {index(), static_cast<std::uint64_t>(descriptor.type()),
                      wait ? 0 : descriptor.pasid(), range.start.value, range.end.value});
        switch (descriptor.type()) {
            case QiType::kPasidIotlb:
            case QiType::kPasidCache:
                invalidate_caches(descriptor, doorbell);
                stages.until(Part::kIotlb, time_.local_now());
                break;
            case QiType::kPasidDeviceTlb:
                invalidate_device(descriptor, doorbell);
                stages.until(Part::kAtc, time_.local_now());
                break;
            case QiType::kInvalidationWait:
                if (!outstanding_.empty()) {
                    await_devices();
                    stages.until(Part::kAtc, time_.local_now());
                }
                if (const Instant stored = write_status(descriptor, doorbell);
                    next == doorbell.tail)
                    stages.complete(stored + time_.visibility());
                break;
            default:
                MMUSIM_CHECK(false, "the queue holds descriptors of known types");
        }
        head_ = next;
    }
}

void InvalidationQueueModule::invalidate_caches(const QiDescriptor& descriptor,
                                                const Doorbell& doorbell) {
    const bool iotlb = descriptor.type() == QiType::kPasidIotlb;
    Completion done(time_);
    IommuInvalidation invalidation;
    invalidation.kind =
        iotlb ? IommuInvalidation::Kind::kIotlb : IommuInvalidation::Kind::kPasidCache;
    invalidation.operation = doorbell.operation;
    invalidation.pasid = descriptor.pasid();
    invalidation.range = descriptor.range();
    invalidation.done = &done;
    const auto cost = iotlb ? config_.iommu.iotlb_invalidate : config_.iommu.pasid_cache_invalidate;
    caches_.post_invalidation(time_.next_key(time_.local_now() + cost), invalidation);
    time_.await(done, Part::kIotlb);
}

void InvalidationQueueModule::invalidate_device(const QiDescriptor& descriptor,
                                                const Doorbell& doorbell) {
    const auto& devices = config_.devices;
    const auto device = std::find_if(devices.begin(), devices.end(), [&](const IommuDevice& d) {
        return d.source == descriptor.device();
    });
    MMUSIM_CHECK(device != devices.end(), "a device TLB invalidation names a device of the unit");
    auto& sent = outstanding_.emplace_back(time_);
    sent.invalidation = {doorbell.operation, device->source, descriptor.pasid(), descriptor.range(),
                         &sent.completion};
    emit(Event::kAtsInvalidateRequest, sent.invalidation);
    PayloadPool<DeviceTlbInvalidationExtension>::Loan loan(pool_);
    loan.extension().key = time_.next_key(time_.local_now() + device->link);
    loan.extension().invalidation = sent.invalidation;
    loan.payload().set_command(tlm::TLM_IGNORE_COMMAND);
    auto delay = time_.offset() + to_sc_time(device->link);
    device_sockets[static_cast<int>(device - devices.begin())]->b_transport(loan.payload(), delay);
}

/// Completions are taken note of in the order of their requests.
void InvalidationQueueModule::await_devices() {
    for (auto& sent : outstanding_) {
        time_.await(sent.completion, Part::kAtc);
        emit(Event::kAtsInvalidateDone, sent.invalidation);
    }
    outstanding_.clear();
}

void InvalidationQueueModule::emit(Event event, const DeviceTlbInvalidation& invalidation) {
    events_.emit(time_.local_now(), invalidation.operation, event,
                 {invalidation.source, invalidation.pasid, invalidation.range.start.value,
                  invalidation.range.end.value});
}

/// Returns when the store was serialised.
Instant InvalidationQueueModule::write_status(const QiDescriptor& descriptor,
                                              const Doorbell& doorbell) {
    ++stats_.waits;
    const PhysAddr status = descriptor.status_address();
    const unsigned shift = status.value % 8 ? 32 : 0;  // the status is one half of a word
    const auto set = [&](rmap::Word old, Instant) {
        const std::uint64_t half = std::uint64_t{0xffffffff} << shift;
        return rmap::Word{(old.value & ~half) | std::uint64_t{descriptor.status_data()} << shift,
                          0};
    };
    const rmap::PhysMemPort::Apply apply(set);
    const auto stored = memory_.access(*memory_socket.operator->(), {status.value & ~7ull}, &apply,
                                       doorbell.operation, Part::kIommuWait);
    events_.emit(stored.at, doorbell.operation, Event::kIommuWaitDone,
                 {index(), descriptor.status_data()});
    return stored.at;
}

}  // namespace mmusim::models
