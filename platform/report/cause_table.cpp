// SPDX-License-Identifier: Apache-2.0
#include "platform/report/cause_table.hpp"

#include <algorithm>

namespace mmusim::platform {

using rmap::Event;

std::string_view name(Take take) {
    switch (take) {
        case Take::kEachTarget:
            return "each target";
        case Take::kOldest:
            return "oldest";
        case Take::kAll:
            return "all";
    }
    return "";
}

/// Who submits to an IOMMU waits until it is done, so the operation tells its descriptors from
/// others.
const std::vector<CauseRule>& cause_table() {
    static const std::vector<CauseRule> rules = {
        {"interrupt",
         Event::kIpiSend,
         {Event::kCallFunctionEntry, Event::kCallFunctionSingleEntry, {}},
         "operation vector cpumask=agent",
         "",
         Take::kEachTarget,
         "the interrupt that a CPU sends starts the handler on each target"},
        {"acknowledgement",
         Event::kCallFunctionAck,
         {Event::kFlushTlbFuncRemote, Event::kFlushTlbOthersRet, Event::kKvmFlushRemoteTlbsRet},
         "operation from=agent",
         "",
         Take::kAll,
         "the initiator goes on, with v5.0's second turn of its own, when all have acknowledged"},
        {"kick",
         Event::kKvmMakeRequest,
         {Event::kVmExit, {}, {}},
         "vm vcpu",
         "kicked",
         Take::kAll,
         "a request with a kick makes the vCPU leave its guest"},
        {"request",
         Event::kKvmMakeRequest,
         {Event::kKvmTlbFlush, {}, {}},
         "vm vcpu",
         "",
         Take::kAll,
         "the vCPU serves all requests before it enters its guest again"},
        {"descriptor",
         Event::kQiTail,
         {Event::kIommuDescriptor, {}, {}},
         "operation",
         "",
         Take::kOldest,
         "the IOMMU executes the descriptor that the driver has queued"},
        {"ats request",
         Event::kAtsInvalidateRequest,
         {Event::kAtcInvalidated, {}, {}},
         "device pasid start end",
         "",
         Take::kOldest,
         "the device empties its ATC as the IOMMU asks it to"},
        {"ats completion",
         Event::kAtsInvalidateCompletion,
         {Event::kAtsInvalidateDone, {}, {}},
         "device pasid start end",
         "",
         Take::kOldest,
         "the IOMMU learns that ATC and DMA in flight are done"},
        {"wait status",
         Event::kIommuWaitDone,
         {Event::kQiSubmitRet, {}, {}},
         "operation",
         "",
         Take::kOldest,
         "the status that the IOMMU writes ends the driver's wait"},
    };
    return rules;
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> result;
    while (!text.empty()) {
        const std::size_t length = std::min(text.find(' '), text.size());
        if (length > 0) result.push_back(text.substr(0, length));
        text.remove_prefix(std::min(length + 1, text.size()));
    }
    return result;
}

std::optional<std::size_t> argument_index(Event event, std::string_view name) {
    const auto arguments = words(rmap::info(event).arguments);
    for (std::size_t i = 0; i < arguments.size(); ++i)
        if (arguments[i].substr(0, arguments[i].find(':')) == name) return i;
    return std::nullopt;
}

}  // namespace mmusim::platform
