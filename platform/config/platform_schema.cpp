// SPDX-License-Identifier: Apache-2.0
#include "platform/config/platform_schema.hpp"

#include <algorithm>

#include "platform/config/section_reader.hpp"
#include "rmap/types/cpu_mask.hpp"

namespace mmusim::platform {
namespace {

constexpr std::uint64_t kFramesPerMib = 256;
constexpr unsigned kMaxSockets = 64;
constexpr NamedValue<rmap::SwapDevice> kSwapDevices[] = {{"zram", rmap::SwapDevice::kZram},
                                                         {"disk", rmap::SwapDevice::kDisk}};

void read_identity(SectionReader platform, PlatformConfig& out) {
    platform.text("name", out.name, "short name of the machine", Need::kRequired);
    platform.text("description", out.description, "one line about the machine");
    platform.finish();
}

/// Returns the clock in kHz, with which everything else is converted.
std::uint64_t read_topology(SectionReader topology, PlatformConfig& out) {
    auto& shape = out.topology;
    std::uint64_t memory_mib = 0;
    topology.has_provenance();
    topology.count("sockets", shape.sockets, {1, kMaxSockets}, "sockets, each one a NUMA node");
    topology.count("cores_per_socket", shape.cores_per_socket, {1, rmap::kMaxCpus},
                   "cores of one socket");
    topology.count("memory_mib_per_node", memory_mib, {1, 1 << 24}, "MiB of memory per node");
    topology.clock("clock_mhz", out.clock_khz, "clock of the cores in MHz");
    shape.frames_per_node = memory_mib * kFramesPerMib;
    shape.hops.assign(shape.sockets, std::vector<unsigned>(shape.sockets, 1));
    for (unsigned socket = 0; socket < shape.sockets; ++socket) shape.hops[socket][socket] = 0;
    topology.matrix("hops", shape.hops, shape.sockets, {0, 16}, "steps between sockets");
    topology.finish();
    return out.clock_khz;
}

constexpr CountRange kEntries{0, 1 << 20};
constexpr CountRange kWays{1, 1 << 20};
constexpr NamedValue<models::IndexFunction> kIndexFunctions[] = {
    {"plain", models::IndexFunction::kPlain}, {"xor-fold", models::IndexFunction::kXorFold}};
constexpr NamedValue<models::ReplacementPolicy> kReplacementPolicies[] = {
    {"lru", models::ReplacementPolicy::kLru},
    {"tree-plru", models::ReplacementPolicy::kTreePlru},
    {"nru", models::ReplacementPolicy::kNru},
    {"random", models::ReplacementPolicy::kRandom},
    {"mru+1-plru4", models::ReplacementPolicy::kMruPlusOnePlru4}};

/// Orders: 4 KiB << order.
constexpr NamedValue<unsigned> kPageSizes[] = {{"4K", 0},   {"16K", 2},   {"64K", 4}, {"2M", 9},
                                               {"32M", 13}, {"512M", 17}, {"1G", 18}, {"16G", 22}};

void read_geometry(SectionReader& array, models::ArrayGeometry& out, std::string_view meaning) {
    array.has_provenance();
    array.count("entries", out.entries, kEntries, meaning);
    array.count("ways", out.ways, kWays, "ways of the array");
    array.choice("index", out.index, kIndexFunctions, "which set a page belongs to");
    array.choice("replacement", out.replacement, kReplacementPolicies,
                 "which entry of a full set makes room");
}

models::PageArrayConfig read_page_array(SectionReader array, const std::string& name) {
    models::PageArrayConfig out;
    out.name = name;
    array.choices("pages", out.orders, kPageSizes, "sizes of the pages that it is for");
    read_geometry(array, out.geometry, "entries of the array");
    array.finish();
    return out;
}

constexpr NamedValue<models::Inclusion> kInclusions[] = {
    {"neither", models::Inclusion::kNeither},
    {"inclusive", models::Inclusion::kInclusive},
    {"exclusive", models::Inclusion::kExclusive}};
constexpr unsigned kMostLevels = 8;
constexpr NamedValue<models::Stream> kStreams[] = {{"data", models::Stream::kData},
                                                   {"fetch", models::Stream::kFetch}};

void read_arrays(SectionReader& tlb, models::TlbConfig& out) {
    tlb.has_provenance();
    tlb.time("lookup", out.lookup, Zero::kAllowed, "added by this level, hit or miss");
    tlb.time("fill", out.fill, Zero::kAllowed, "writing an entry after a miss");
    auto arrays = tlb.section("array");
    for (const auto& name : arrays.entries("array of this TLB"))
        out.arrays.push_back(read_page_array(arrays.section(name), name));
    arrays.finish();
}

/// Of an IOMMU or a device.
void read_tlb(SectionReader tlb, models::TlbConfig& out) {
    read_arrays(tlb, out);
    tlb.finish();
}

models::TlbConfig read_core_tlb(SectionReader tlb, const std::string& name) {
    models::TlbConfig out;
    out.name = name;
    tlb.count("level", out.level, {1, kMostLevels}, "1: next to the core");
    tlb.choices("serves", out.streams, kStreams, "what it is asked for");
    tlb.choice("inclusion", out.inclusion, kInclusions, "what it is to the levels above");
    tlb.count("live_spaces", out.live_spaces, {0, 1 << 20},
              "address spaces that have entries at the same time; 0: no limit", Need::kOptional);
    read_arrays(tlb, out);
    tlb.finish();
    return out;
}

void read_tlbs(SectionReader tlb, models::MmuConfig& out) {
    for (const auto& name : tlb.entries("TLB"))
        out.tlbs.push_back(read_core_tlb(tlb.section(name), name));
    tlb.finish();
    std::stable_sort(out.tlbs.begin(), out.tlbs.end(),
                     [](const auto& a, const auto& b) { return a.level < b.level; });
}

void read_format(SectionReader& section, const rmap::PageTableFormat*& out,
                 rmap::PageTableFormat::Stage stage) {
    std::vector<std::string> names;
    for (const auto* format : rmap::page_table_formats())
        if (format->stage == stage) names.emplace_back(format->name);
    std::string name(out->name);
    section.name("format", name, names, "format of the page tables");
    out = rmap::find_page_table_format(name);
}

constexpr NamedValue<models::BitUpdate> kBitUpdates[] = {{"hardware", models::BitUpdate::kHardware},
                                                         {"fault", models::BitUpdate::kFault}};
constexpr NamedValue<models::NestedCaching> kNestedCachings[] = {
    {"combined", models::NestedCaching::kCombined},
    {"per-stage", models::NestedCaching::kPerStage}};

models::WalkCacheConfig read_walk_cache(SectionReader cache, const std::string& name) {
    models::WalkCacheConfig out;
    out.name = name;
    cache.count("level", out.level, {2, rmap::PageTableFormat::kMaxLevels},
                "level of the entries that it keeps; 1: those of the smallest pages");
    read_geometry(cache, out.geometry, "entries of the cache");
    cache.time("lookup", out.lookup, Zero::kAllowed,
               "added to each walk; of several caches the longest counts");
    cache.finish();
    return out;
}

void read_walk_stage(SectionReader& stage, models::WalkStageConfig& out) {
    stage.choice("accessed", out.accessed, kBitUpdates, "who sets accessed bits of pages");
    stage.choice("dirty", out.dirty, kBitUpdates, "who sets dirty bits of pages");
    auto caches = stage.section("cache");
    for (const auto& name : caches.entries("paging-structure cache"))
        out.caches.push_back(read_walk_cache(caches.section(name), name));
    caches.finish();
}

void read_walker(SectionReader walker, models::WalkerConfig& out) {
    using Stage = rmap::PageTableFormat::Stage;
    walker.time("start", out.start, Zero::kAllowed, "from the TLB miss to the first read");
    walker.time("level", out.level, Zero::kAllowed, "per level, besides the memory read");
    read_format(walker, out.first.format, Stage::kFirst);
    read_walk_stage(walker, out.first);
    auto second = walker.section("second_stage");
    out.second.format = &rmap::usual_second_stage(*out.first.format);
    read_format(second, out.second.format, Stage::kSecond);
    read_walk_stage(second, out.second);
    second.choice("caching", out.nested, kNestedCachings,
                  "what the caches of the first stage keep of a guest's tables");
    if (auto tlb = second.section("tlb"); tlb.is_there()) read_tlb(std::move(tlb), out.second_tlb);
    second.finish();
    walker.finish();
}

void read_invalidate(SectionReader invalidate, models::InvalidationLatency& out) {
    invalidate.time("invlpg", out.invlpg, Zero::kForbidden, "INVLPG");
    invalidate.time("invpcid_address", out.invpcid_address, Zero::kForbidden, "INVPCID type 0");
    invalidate.time("cr3_write", out.cr3_write, Zero::kForbidden, "write of CR3 that flushes");
    invalidate.time("cr3_write_no_flush", out.cr3_write_no_flush, Zero::kForbidden,
                    "write of CR3 with bit 63 set");
    invalidate.time("invept", out.invept, Zero::kForbidden, "INVEPT of one context");
    invalidate.time("all", out.all, Zero::kForbidden, "INVPCID type 2 or CR4.PGE toggled");
    invalidate.finish();
}

void read_virtualization(SectionReader virtualization, VirtualizationConfig& out) {
    virtualization.time("vm_entry", out.vm_entry, Zero::kForbidden, "VM entry");
    virtualization.time("vm_exit", out.vm_exit, Zero::kForbidden, "VM exit");
    virtualization.finish();
}

VmConfig read_vm(SectionReader vm, const std::string& name) {
    VmConfig out;
    out.name = name;
    vm.has_provenance();
    vm.count("vcpus", out.vcpus, {1, rmap::kMaxCpus}, "virtual CPUs");
    vm.count("first_cpu", out.first_cpu, {0, rmap::kMaxCpus - 1}, "CPU of the first vCPU");
    vm.finish();
    return out;
}

void read_array(SectionReader array, models::ArrayGeometry& out, std::string_view meaning) {
    read_geometry(array, out, meaning);
    array.finish();
}

models::IommuConfig read_iommu(SectionReader& iommu) {
    models::IommuConfig out;
    iommu.has_provenance();
    iommu.count("socket", out.socket, {0, kMaxSockets - 1}, "socket that it belongs to");
    read_tlb(iommu.section("iotlb"), out.iotlb);
    read_array(iommu.section("walk_cache"), out.walk_cache,
               "entries for tables of 4 KiB pages; 0: none");
    read_array(iommu.section("pasid_cache"), out.pasid_cache,
               "entries for PASID-table entries; 0: none");
    iommu.count("walkers", out.walkers, {1, 64}, "walks at the same time");
    iommu.count("queue_entries", out.queue_entries, {4, 256},
                "descriptors of the invalidation queue");
    iommu.count("queue_lines", out.queue_lines, {16, 1024},
                "lines of memory that the queue keeps; a read in them costs coherence.l1",
                Need::kOptional);
    iommu.count("fault_records", out.fault_records, {1, 256}, "fault recording registers",
                Need::kOptional);
    iommu.time("walk_start", out.walker.start, Zero::kAllowed, "from the miss to the first read");
    iommu.time("walk_level", out.walker.level, Zero::kAllowed,
               "per level of first-level tables, besides the memory read");
    iommu.time("doorbell_write", out.doorbell_write, Zero::kForbidden,
               "write of the queue's tail register, on the core");
    iommu.time("doorbell", out.doorbell, Zero::kForbidden, "from the core to the unit");
    iommu.time("descriptor", out.descriptor, Zero::kForbidden, "decoding one descriptor");
    iommu.time("iotlb_invalidate", out.iotlb_invalidate, Zero::kForbidden,
               "one IOTLB invalidation");
    iommu.time("pasid_cache_invalidate", out.pasid_cache_invalidate, Zero::kForbidden,
               "one PASID-cache invalidation");
    iommu.finish();
    return out;
}

models::DmaDeviceConfig read_device(SectionReader device, const std::string& name) {
    models::DmaDeviceConfig out;
    out.name = name;
    device.has_provenance();
    device.count("source", out.source, {0, 0xffff}, "bus, device and function as a number");
    device.count("socket", out.socket, {0, kMaxSockets - 1}, "socket that it is attached to");
    device.flag("ats", out.ats, "it has an ATC");
    read_tlb(device.section("atc"), out.atc);
    device.count("max_in_flight", out.max_in_flight, {1, 1 << 10}, "accesses at the same time");
    device.time("link", out.link, Zero::kForbidden, "one way between device and IOMMU");
    device.time("atc_invalidate", out.atc_invalidate, Zero::kForbidden,
                "one ATC invalidation, without accesses in flight");
    device.time("transfer", out.transfer, Zero::kForbidden,
                "one access, from its start until memory is done with it");
    device.finish();
    return out;
}

void read_cache(SectionReader cache, models::CacheCapacity& out) {
    constexpr CountRange kLines{1, 1 << 24};
    cache.has_provenance();
    cache.count("l1_lines", out.l1_lines, kLines, "cache lines of an L1 data cache");
    cache.count("l2_lines", out.l2_lines, kLines, "cache lines of an L2 cache");
    cache.finish();
}

void read_coherence(SectionReader coherence, models::MemoryConfig& out) {
    auto& cost = out.latency;
    coherence.time("l1", cost.l1, Zero::kForbidden, "load hit in the own L1");
    coherence.time("l2", cost.l2, Zero::kForbidden, "load hit in the own L2");
    coherence.time("llc", cost.llc, Zero::kForbidden, "line in the own last level");
    coherence.time("same_socket", cost.same_socket, Zero::kForbidden,
                   "line modified by another core of the socket");
    coherence.time("hop", cost.hop, Zero::kAllowed, "added per step between sockets");
    coherence.time("dram", cost.dram, Zero::kForbidden, "memory of the own socket");
    coherence.time("locked", cost.locked, Zero::kForbidden,
                   "locked instruction on a line already owned");
    coherence.time("service", cost.service, Zero::kForbidden,
                   "least distance of two operations on one line");
    read_cache(coherence.section("cache"), out.cache);
    coherence.finish();
}

void read_interrupt(SectionReader interrupt, models::InterruptConfig& out) {
    interrupt.has_provenance();
    interrupt.time("write", out.write, Zero::kForbidden, "interrupt-command register write");
    interrupt.time("to_fabric", out.to_fabric, Zero::kForbidden,
                   "from the write to the fabric's queue");
    interrupt.time("slot", out.slot, Zero::kForbidden, "the fabric handles one target per slot");
    interrupt.time("delivery", out.delivery, Zero::kForbidden,
                   "from the slot to a core of the same socket");
    interrupt.time("hop", out.hop, Zero::kAllowed, "added per step between sockets");
    interrupt.count("cluster_size", out.cluster_size, {1, 64}, "targets that one write addresses");
    interrupt.finish();
}

void read_flush(SectionReader flush, const std::vector<std::string>& mechanisms,
                PlatformConfig& out) {
    flush.name("mechanism", out.flush_mechanism, mechanisms, "how other CPUs are made to flush",
               Need::kRequired);
    flush.finish();
}

void read_costs(SectionReader costs, rmap::KernelCosts& out) {
    rmap::KernelCosts::visit(
        [&costs](std::string_view key, rmap::Duration& field, std::string_view meaning) {
            costs.time(key, field, Zero::kAllowed, meaning);
        },
        out);
    costs.finish();
}

void read_kernel(SectionReader kernel, PlatformConfig& out) {
    auto& policy = out.policy;
    kernel.has_provenance();
    kernel.name("profile", policy.profile, kernel_profiles(), "kernel whose order is followed",
                Need::kRequired);
    kernel.count("single_page_flush_ceiling", policy.single_page_flush_ceiling, {0, 1 << 20},
                 "pages above which everything is flushed", Need::kOptional);
    kernel.flag("pcid", policy.pcid, "process-context identifiers in use");
    kernel.count("swap_cluster_max", policy.swap_cluster_max, {1, 1 << 16},
                 "pages of one reclaim batch", Need::kOptional);
    kernel.count("swap_slots", policy.swap_slots, {0, 1ull << 32}, "pages that swap can hold",
                 Need::kOptional);
    kernel.choice("swap_device", policy.swap_device, kSwapDevices,
                  "what swap is on: compressed memory, written at once, or a disk");
    read_costs(kernel.section("costs"), out.costs);
    kernel.finish();
}

/// What only a machine has that runs scenarios. All of it or, of one that only translates, nothing.
bool runs(SectionReader& root) {
    bool any = false;
    for (const auto* section : {"flush", "kernel", "interrupt", "invalidate", "virtualization"})
        any = root.section(section).is_there() || any;
    return any;
}

void read_kernel_side(SectionReader& root, const std::vector<std::string>& mechanisms,
                      PlatformConfig& out) {
    read_invalidate(root.section("invalidate"), out.invalidation);
    read_interrupt(root.section("interrupt"), out.interrupt);
    read_flush(root.section("flush"), mechanisms, out);
    read_kernel(root.section("kernel"), out);
    read_virtualization(root.section("virtualization"), out.virtualization);
}

}  // namespace

std::vector<std::string> kernel_profiles() { return {"v5.0"}; }

PlatformConfig read_platform(const ConfigNode& tree, const std::string& file,
                             const std::vector<std::string>& mechanisms,
                             EffectiveConfig& effective) {
    PlatformConfig out;
    ReadContext context{file, effective};
    const ConfigNode::Member whole{{}, tree.position, tree};
    SectionReader root(context, &whole, {});
    read_identity(root.section("platform"), out);
    // Without a clock (it is missing, which is reported later) cycles still have to be accepted.
    context.clock_khz = std::max<std::uint64_t>(read_topology(root.section("topology"), out), 1);
    read_tlbs(root.section("tlb"), out.mmu);
    read_walker(root.section("walker"), out.mmu.walker);
    read_coherence(root.section("coherence"), out.memory);
    out.runs = runs(root);
    if (out.runs) read_kernel_side(root, mechanisms, out);
    SectionReader vms = root.section("vm");
    for (const auto& name : vms.entries("VM")) out.vms.push_back(read_vm(vms.section(name), name));
    if (SectionReader iommu = root.section("iommu"); iommu.is_there())
        out.iommu = read_iommu(iommu);
    SectionReader devices = root.section("device");
    for (const auto& name : devices.entries("device"))
        out.devices.push_back(read_device(devices.section(name), name));
    root.finish();
    return out;
}

}  // namespace mmusim::platform
