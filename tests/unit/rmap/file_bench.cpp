// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/rmap/file_bench.hpp"

#include <algorithm>

namespace mmusim::test {

using namespace mmusim::rmap;

namespace {

KernelBench::Config with_cpus(KernelBench::Config config, std::initializer_list<CpuId> cpus) {
    config.cpus = std::max(config.cpus, std::max(cpus) + 1);
    return config;
}

bool contains(std::initializer_list<Event> events, Event event) {
    return std::find(events.begin(), events.end(), event) != events.end();
}

void append(std::string& text, Event event) {
    if (!text.empty()) text += " ";
    text += info(event).name;
}

}  // namespace

FileBench::FileBench(FileKind kind, std::uint64_t pages, std::initializer_list<CpuId> cpus,
                     const Populate& how, Config config)
    : KernelBench(with_cpus(config, cpus)),
      file(kind == FileKind::kShmem ? kernel.create_shmem("memfd", pages)
                                    : kernel.create_file("file", pages)) {
    Mm& parent = kernel.create_mm(cpu(), "parent");
    kernel.mmap_file(cpu(), parent, range(pages), file);
    for (const CpuId id : cpus) {
        Mm& mm = mms.empty() ? parent : kernel.fork(cpu(), parent, "child");
        mms.push_back(&mm);
        kernel.populate(cpu(), mm, range(pages), how);
        run(id, mm);
    }
    trace().clear();
}

std::string FileBench::captured(Event after, Event before,
                                std::initializer_list<Event> without) const {
    std::string result;
    bool inside = false;
    for (const auto& record : machine.trace().records()) {
        if (record.actor != 0) continue;
        if (record.event == before) inside = false;
        if (inside && !info(record.event).capture_5_0.empty() && !contains(without, record.event))
            append(result, record.event);
        if (record.event == after) inside = true;
    }
    return result;
}

std::string FileBench::order_of(CpuId id, std::initializer_list<Event> keep) const {
    std::string result;
    for (const auto& record : machine.trace().records())
        if (record.actor == id && contains(keep, record.event)) append(result, record.event);
    return result;
}

}  // namespace mmusim::test
