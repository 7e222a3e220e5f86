// SPDX-License-Identifier: Apache-2.0
#include "models/cpu/core_module.hpp"

#include "models/tlm/guarded_process.hpp"
#include "rmap/types/check.hpp"
#include "rmap/types/pte.hpp"

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

constexpr std::uint64_t kPcidMask = 0xfff;  ///< of CR3 (Intel SDM vol. 3, 4.5)

}  // namespace

CoreModule::CoreModule(const sc_core::sc_module_name& name, const Config& config,
                       CoreSoftware& software, AccessObserver* observer)
    : sc_module(name),
      config_(config),
      software_(software),
      account_(config.id),
      time_(config.id, config.lookahead, account_,
            {[this](const rmap::TakenInterrupt& interrupt) {
                 ++stats_.interrupts;
                 software_.handle_interrupt(*this, interrupt);
             },
             [this] { observed_.settle_many(); }}),
      cache_(config.cache),
      observed_(config.id, observer, config.walk_check.stores),
      walks_(config.walk_check) {
    request().time = &time_;
    request().cache = &cache_;
    set_context();
    if (config.data_tlb && config.fetch_tlb) {
        filters_[0] = std::make_unique<TlbFilter>(*config.data_tlb);
        if (config.fetch_tlb != config.data_tlb)
            filters_[1] = std::make_unique<TlbFilter>(*config.fetch_tlb);
        ports_[0].filter = filters_[0].get();
        ports_[1].filter = filters_[filters_[1] ? 1 : 0].get();
    }
    translate_socket.register_invalidate_direct_mem_ptr(this, &CoreModule::withdraw<0>);
    fetch_socket.register_invalidate_direct_mem_ptr(this, &CoreModule::withdraw<1>);
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

void CoreModule::set_context() {
    const bool in_guest = guest_.vm != 0;
    request().vm = guest_.vm;
    request().pcid = in_guest ? guest_.cr3.value & kPcidMask : pcid_;
    request().root = in_guest ? PhysAddr{guest_.cr3.value & ~kPcidMask} : root_;
    request().ept_root = guest_.ept_root;
    request().part = in_guest ? Part::kGuest : Part::kUser;
    const TlbTag tag(request().pcid, request().vm);
    if (!(tag == tag_)) observed_.renew_stamp();  // grants are for one tag
    tag_ = tag;
    observed_.set_context(mm_, request().vm);
}

template <std::size_t port>
void CoreModule::withdraw(sc_dt::uint64 start, sc_dt::uint64 end) {
    if (config_.fault == rmap::InjectedFault::kKeepGrant) return;
    if (auto* filter = ports_[port].filter)
        filter->withdraw({rmap::page_start(rmap::VirtAddr{start}), rmap::VirtAddr{end + 1}});
}

bool CoreModule::look_for_grant(rmap::VirtAddr address, Access kind, Duration cost) {
    const auto page = rmap::page_of(address);
    const TlbFilter* filter = port(kind).filter;
    const auto usable = filter ? filter->find(page, tag_) : TlbFilter::Usable{};
    if (!usable.held || !usable.held->grant.translation.allows(kind)) return false;
    const TlbGrant& grant = usable.held->grant;
    ++grant.stats->hits;
    request().missed_levels = 0;
    time_.advance(grant.lookup + cost, request().part);
    if (observed_.on()) observe(address, kind, grant.translation);
    keep_for_repetition(page, kind, usable);
    return true;
}

/// The access just done.
void CoreModule::keep_for_repetition(rmap::PageNumber page, Access kind,
                                     const TlbFilter::Usable& usable) {
    const TlbGrant& grant = usable.held->grant;
    repeated_.keep(kind, {page, usable.current, usable.held->serial, observed_.stamp(),
                          observed_.last_kind(), grant.lookup, grant.stats});
}

/// After an access through the TLB.
void CoreModule::update_grant(Port& from, rmap::PageNumber page, Access kind) {
    if (request().missed_levels & 1) from.filter->missed(page, tag_);
    if (request().fault != Fault::kNone) return;
    auto [usable, ask] = from.filter->used(page, tag_, request().translation.order);
    if (ask && from.socket->get_direct_mem_ptr(translation_.payload(), dmi_))
        usable =
            from.filter->keep(page, tag_, *reinterpret_cast<const TlbGrant*>(dmi_.get_dmi_ptr()));
    if (usable.held && usable.held->grant.translation.allows(kind))
        keep_for_repetition(page, kind, usable);
}

inline Fault CoreModule::translate(rmap::VirtAddr address, Access kind, Duration cost, Ask ask) {
    request().operation = account_.current();
    request().access = kind;
    request().ask_all_levels = ask == Ask::kAllLevels;
    request().missed_levels = 0;
    auto& trans = translation_.start();
    trans.set_command(kind == Access::kWrite ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
    trans.set_address(address.value);
    auto delay = time_.offset();
    Port& to = port(kind);
    to.socket->b_transport(trans, delay);
    const bool done = request().fault == Fault::kNone;
    time_.advance_to(time_.instant(delay) + (done ? cost : Duration{}), request().part);
    if (done && observed_.on()) observe(address, kind, request().translation);
    if (to.filter) update_grant(to, rmap::page_of(address), kind);
    return request().fault;
}

/// Of the access just done. What the walk sees is what this core may see now: changes that it
/// cannot know of yet are still in flight.
void CoreModule::compare_with_walk(rmap::VirtAddr address, Access kind, const Translation& used) {
    using What = WalkDifference::What;
    const auto page = rmap::page_of(address);
    PayloadPool<TranslationExtension>::Loan loan(walks_asked_);
    auto& walk = loan.extension();
    walk.access = Access::kRead;  // which changes nothing of what is compared
    walk.pcid = pcid_;
    walk.root = root_;
    walk.time = &time_;
    loan.payload().set_address(address.value);
    uncached_walk_socket->transport_dbg(loan.payload());
    if (walk.fault != Fault::kNone) return observed_.write_difference(What::kNotMapped);
    const Translation& found = walk.translation;
    if (found.frame_of(page) != used.frame_of(page))
        return observed_.write_difference(What::kOtherFrame);
    if ((kind == Access::kWrite && !found.writable) ||
        (kind == Access::kExecute && !found.executable))
        return observed_.write_difference(What::kNotAllowed);
    if (kind == Access::kWrite && !found.dirty) return observed_.write_difference(What::kClean);
    observed_.write_confirmed();
}

Fault CoreModule::access_tlb(rmap::VirtAddr address, Access kind, Duration cost, Ask ask) {
    MMUSIM_CHECK(guest_.vm == 0, "user instructions are the host's");
    time_.boundary();
    const Fault fault = translate(address, kind, cost, ask);
    ++(fault == Fault::kNone ? stats_.accesses : stats_.faults);
    return fault;
}

bool CoreModule::would_hit(rmap::VirtAddr address, Access kind) {
    MMUSIM_CHECK(guest_.vm == 0, "user instructions are the host's");
    request().access = kind;
    auto& trans = translation_.start();
    trans.set_address(address.value);
    return (kind == Access::kExecute ? fetch_socket : translate_socket)->transport_dbg(trans) > 0;
}

// ---- guest mode ----

void CoreModule::vm_entry(const rmap::GuestContext& context, Duration cost) {
    MMUSIM_CHECK(guest_.vm == 0 && context.vm != 0, "the host enters a guest that has a VPID");
    MMUSIM_CHECK(time_.interrupts() == rmap::Interrupts::kOff,
                 "a guest is entered with the host's interrupts off");
    time_.advance(cost, Part::kGuest);
    guest_ = context;
    set_context();
    ++stats_.vm_entries;
}

void CoreModule::vm_exit(Duration cost) {
    MMUSIM_CHECK(guest_.vm != 0, "only a guest exits");
    time_.advance(cost, Part::kGuest);
    guest_ = {};
    set_context();
}

GuestAccess CoreModule::access_guest(rmap::VirtAddr address, Access kind, Duration cost) {
    using Outcome = GuestAccess::Outcome;
    MMUSIM_CHECK(guest_.vm != 0, "a guest instruction runs in a guest");
    if (time_.interrupt_arrived()) return {Outcome::kInterrupt, {}};
    const bool granted = filters_[0] && use_grant(address, kind, cost);
    switch (granted ? Fault::kNone : translate(address, kind, cost, Ask::kUntilHit)) {
        case Fault::kNone:
            ++stats_.guest_accesses;
            return {};
        case Fault::kSecondStage:
            ++stats_.violations;
            return {Outcome::kViolation, request().violation};
        case Fault::kNotPresent:
        case Fault::kProtection:
        case Fault::kAccessFlag:
        case Fault::kDirtyState:
            break;
    }
    return {Outcome::kPageFault, {}};
}

// ---- kernel instructions ----

Word CoreModule::access_memory(PhysAddr address, const Apply* apply, Part part) {
    time_.boundary();
    auto delay = time_.offset();
    const auto result =
        accesses_.access(*memory_socket.operator->(), {account_.current(), &time_, &cache_, part},
                         address, apply, delay);
    time_.rebase(delay, part);
    return result.word;
}

Word CoreModule::load(PhysAddr address, Part part) { return access_memory(address, nullptr, part); }

Word CoreModule::read_modify_write(PhysAddr address, Apply apply, Part part) {
    return access_memory(address, &apply, part);
}

void CoreModule::maintain(const TlbOperation& operation, Duration cost, Part part) {
    MMUSIM_CHECK(guest_.vm == 0, "invalidation instructions are the host's");
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
            set_context();
            break;
        default:
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
