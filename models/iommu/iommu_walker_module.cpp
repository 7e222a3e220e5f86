// SPDX-License-Identifier: Apache-2.0
#include "models/iommu/iommu_walker_module.hpp"

#include <utility>

#include "models/tlm/guarded_process.hpp"
#include "rmap/types/vtd.hpp"

namespace mmusim::models {

using rmap::Fault;
using rmap::OperationId;
using rmap::Part;
using rmap::PhysAddr;
using rmap::VtdTables;

namespace {

/// It passes before the unit's own tables are read.
WalkerConfig without_start(WalkerConfig config) {
    config.start = {};
    return config;
}

}  // namespace

IommuWalkerModule::IommuWalkerModule(const sc_core::sc_module_name& name, const Config& config,
                                     Report report)
    : sc_module(name),
      page_walker("page_walker", without_start(config.walker)),
      config_(config),
      report_(std::move(report)),
      account_(config.actor),
      time_(config.actor, config.lookahead, account_, {}),
      memory_(this->name(), time_, {}) {
    translate_socket_.bind(page_walker.data_socket);
    started_.emplace(time_);
    SC_HAS_PROCESS(IommuWalkerModule);
    SC_THREAD(walk_thread);
}

void IommuWalkerModule::start(const DmaWalk& walk) {
    walk_ = walk;
    started_->complete(kernel_now());
}

void IommuWalkerModule::walk_thread() {
    failure_ = run_guarded([&] {
        time_.set_interrupts(rmap::Interrupts::kOff);
        for (;;) {
            time_.await(*started_, Part::kIdle);
            started_.emplace(time_);
            const auto result = translate(walk_);
            report_(time_.next_key(time_.local_now() + config_.report), result);
        }
    });
}

std::uint64_t IommuWalkerModule::read(PhysAddr address, OperationId operation) {
    ++table_reads_;
    const auto result = memory_.load(*memory_socket.operator->(), address, operation, Part::kUser);
    last_read_ = result.at;
    return result.word.value;
}

/// Reads the way from the root table to the PASID-table entry (Intel VT-d, figure 3-3).
FaultReason IommuWalkerModule::find_pasid_entry(const DmaRequest& request, PasidEntry& entry) {
    const auto pointer = [](std::uint64_t word) { return PhysAddr{word & VtdTables::kPointer}; };
    const auto word = [&](PhysAddr address) { return read(address, request.operation); };

    const auto root = word(VtdTables::root_word(root_table_, request.source));
    entry.oldest_read = last_read_;
    if (!(root & VtdTables::kPresent)) return FaultReason::kRootNotPresent;
    const auto context = word(VtdTables::context_word(pointer(root), request.source));
    if (!(context & VtdTables::kPresent)) return FaultReason::kContextNotPresent;
    if (!(context & VtdTables::kPasidEnable)) return FaultReason::kPasidDisabled;
    entry.device_tlb = context & VtdTables::kDeviceTlbEnable;
    const auto directory = word(VtdTables::directory_word(pointer(context), request.pasid));
    if (!(directory & VtdTables::kPresent)) return FaultReason::kDirectoryNotPresent;
    const auto at = VtdTables::pasid_entry(pointer(directory), request.pasid);
    const auto first = word(at);
    if (!(first & VtdTables::kPresent)) return FaultReason::kPasidNotPresent;
    constexpr std::uint64_t kTranslationType = 7ull << 6;
    if ((first & kTranslationType) != VtdTables::kFirstLevelOnly) return FaultReason::kPasidInvalid;
    entry.first_level = pointer(word(VtdTables::first_level_word(at)));
    return FaultReason::kNone;
}

DmaWalkResult IommuWalkerModule::translate(const DmaWalk& walk) {
    const DmaRequest& request = walk.request;
    DmaWalkResult result;
    time_.advance(config_.walker.start, Part::kUser);
    PasidEntry entry;
    if (walk.pasid_entry)
        entry = *walk.pasid_entry;
    else
        result.reason = find_pasid_entry(request, entry);
    if (result.reason != FaultReason::kNone) return result;
    result.pasid_entry = entry;
    if (request.kind == DmaRequest::Kind::kTranslation && !entry.device_tlb) {
        result.reason = FaultReason::kDeviceTlbDisabled;
        return result;
    }

    PayloadPool<TranslationExtension>::Loan loan(translations_);
    auto& side = loan.extension();
    side.operation = request.operation;
    side.access = request.access;
    side.root = entry.first_level;
    side.time = &time_;
    side.cache = &memory_.cache();
    side.known_table = walk.page_table;
    auto& trans = loan.payload();
    trans.set_command(request.access == rmap::Access::kRead ? tlm::TLM_READ_COMMAND
                                                            : tlm::TLM_WRITE_COMMAND);
    trans.set_address(request.address.value);
    auto delay = time_.offset();
    translate_socket_->b_transport(trans, delay);
    time_.rebase(delay, Part::kUser);

    result.page_table = side.page_table;
    result.translation = side.translation;
    if (side.fault == Fault::kNotPresent) result.reason = FaultReason::kFirstLevelNotPresent;
    if (side.fault == Fault::kProtection) result.reason = FaultReason::kNoWritePermission;
    return result;
}

}  // namespace mmusim::models
