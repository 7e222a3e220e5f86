// SPDX-License-Identifier: Apache-2.0
#include "models/cpu/core_module.hpp"

#include <algorithm>

#include "models/tlm/guarded_process.hpp"
#include "rmap/types/pte.hpp"
#include "rmap/types/time_rule.hpp"

namespace mmusim::models {

using rmap::Access;
using rmap::Duration;
using rmap::Fault;
using rmap::Instant;
using rmap::Part;
using rmap::PhysAddr;
using rmap::TlbOperation;
using rmap::Word;

namespace {

constexpr std::size_t kJudgeAt = 1024;  ///< accesses collected before the observer is called

void set_data(tlm::tlm_generic_payload& trans, void* data, unsigned length) {
    trans.set_data_ptr(static_cast<unsigned char*>(data));
    trans.set_data_length(length);
    trans.set_streaming_width(length);
}

}  // namespace

CoreModule::CoreModule(const sc_core::sc_module_name& name, const Config& config,
                       CoreSoftware& software, AccessObserver* observer)
    : sc_module(name),
      config_(config),
      software_(software),
      observer_(observer),
      account_(config.id),
      time_(config.id, config.lookahead, account_,
            {[this](const rmap::TakenInterrupt& interrupt) {
                 ++stats_.interrupts;
                 software_.handle_interrupt(*this, interrupt);
             },
             [this] {
                 if (unjudged_.size() >= kJudgeAt) settle(kernel_now());
             }}),
      cache_(config.cache) {
    deliver_socket.register_b_transport(this, &CoreModule::deliver);
    SC_HAS_PROCESS(CoreModule);
    SC_THREAD(run_software_thread);
}

void CoreModule::run_software_thread() {
    failure_ = run_guarded([&] {
        software_.run(*this);
        time_.halt(Part::kIdle);
    });
}

// ---- user accesses ----

Fault CoreModule::access(rmap::VirtAddr address, Access kind, Duration cost) {
    time_.boundary();
    PayloadPool<TranslationExtension>::Loan loan(translations_);
    auto& request = loan.extension();
    request.operation = account_.current();
    request.access = kind;
    request.pcid = pcid_;
    request.root = root_;
    request.time = &time_;
    request.cache = &cache_;
    auto& trans = loan.payload();
    trans.set_command(kind == Access::kRead ? tlm::TLM_READ_COMMAND : tlm::TLM_WRITE_COMMAND);
    trans.set_address(address.value);
    auto delay = time_.offset();
    translate_socket->b_transport(trans, delay);
    time_.rebase(delay, Part::kUser);
    if (request.fault != Fault::kNone) {
        ++stats_.faults;
        return request.fault;
    }
    time_.advance(cost, Part::kUser);
    ++stats_.accesses;
    if (observer_) observe_access(address, kind, request.translation);
    return Fault::kNone;
}

void CoreModule::observe_access(rmap::VirtAddr address, Access kind, const Translation& used) {
    AccessRecord record;
    record.time = time_.local_now();
    record.filled = used.read_at;
    record.page = rmap::page_of(address);
    record.frame = used.large ? used.frame + (record.page.value & 511) : used.frame;
    record.generation = used.generation;
    record.access = kind;
    record.mm = mm_;
    if (broken(rmap::TimeRule::kObserversJudgeLate)) {
        observer_->judge(config_.id, &record, &record + 1);
        return;
    }
    unjudged_.push_back(record);
}

void CoreModule::settle(Instant now) {
    if (!observer_) return;
    const auto end = std::partition_point(unjudged_.begin(), unjudged_.end(),
                                          [&](const AccessRecord& r) { return r.time < now; });
    if (end == unjudged_.begin()) return;
    observer_->judge(config_.id, unjudged_.data(), unjudged_.data() + (end - unjudged_.begin()));
    unjudged_.erase(unjudged_.begin(), end);
}

// ---- kernel instructions ----

Word CoreModule::access_memory(PhysAddr address, const Apply* apply, Part part) {
    time_.boundary();
    PayloadPool<CoherenceExtension>::Loan loan(accesses_);
    auto& side = loan.extension();
    side.operation = account_.current();
    side.time = &time_;
    side.cache = &cache_;
    side.part = part;
    side.apply = apply;
    auto& trans = loan.payload();
    trans.set_command(apply ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
    trans.set_address(address.value);
    set_data(trans, &side.word.value, sizeof(side.word.value));
    auto delay = time_.offset();
    memory_socket->b_transport(trans, delay);
    time_.rebase(delay, part);
    if (trans.is_response_error()) SC_REPORT_ERROR(name(), "a kernel word lies outside of memory");
    return side.word;
}

Word CoreModule::load(PhysAddr address, Part part) { return access_memory(address, nullptr, part); }

Word CoreModule::read_modify_write(PhysAddr address, Apply apply, Part part) {
    return access_memory(address, &apply, part);
}

void CoreModule::maintain(const TlbOperation& operation, Duration cost, Part part) {
    time_.boundary();
    PayloadPool<MaintenanceExtension>::Loan loan(maintenances_);
    auto& request = loan.extension();
    request.cause = account_.current();
    request.operation = operation;
    request.invalidated = 0;
    switch (operation.kind) {
        case TlbOperation::Kind::kInvlpg:
            request.operation.pcid = pcid_;
            break;
        case TlbOperation::Kind::kCr3Write:
        case TlbOperation::Kind::kCr3WriteNoFlush:
            pcid_ = operation.pcid;
            root_ = operation.root;
            break;
        case TlbOperation::Kind::kInvpcidAddress:
        case TlbOperation::Kind::kAll:
        case TlbOperation::Kind::kInvept:
            break;
    }
    time_.advance(cost, part);
    loan.payload().set_command(tlm::TLM_IGNORE_COMMAND);
    loan.payload().set_address(operation.address.value);
    auto delay = time_.offset();
    maintain_socket->b_transport(loan.payload(), delay);
    time_.rebase(delay, part);
}

void CoreModule::command_interrupt(const rmap::CpuMask& targets, rmap::Vector vector, Duration cost,
                                   Duration way, Part part) {
    time_.spend(cost, part);
    PayloadPool<InterruptExtension>::Loan loan(interrupts_);
    auto& message = loan.extension();
    message.vector = vector;
    message.operation = account_.current();
    message.targets = targets;
    message.key = time_.next_key(time_.local_now() + way);
    loan.payload().set_command(tlm::TLM_IGNORE_COMMAND);
    auto delay = time_.offset() + to_sc_time(way);
    send_socket->b_transport(loan.payload(), delay);
}

void CoreModule::write_queue_tail(std::uint64_t tail, rmap::Completion& write_back, Duration cost,
                                  Duration way, Part part) {
    time_.spend(cost, part);
    PayloadPool<DoorbellExtension>::Loan loan(doorbells_);
    auto& message = loan.extension();
    message.doorbell = {tail, account_.current(), &write_back};
    message.key = time_.next_key(time_.local_now() + way);
    loan.payload().set_command(tlm::TLM_WRITE_COMMAND);
    auto delay = time_.offset() + to_sc_time(way);
    doorbell_socket->b_transport(loan.payload(), delay);
}

void CoreModule::deliver(tlm::tlm_generic_payload& trans, sc_core::sc_time&) {
    const auto& message = extension_of<InterruptExtension>(trans, name());
    time_.post_interrupt(message.key, message.vector, message.operation);
    trans.set_response_status(tlm::TLM_OK_RESPONSE);
}

}  // namespace mmusim::models
