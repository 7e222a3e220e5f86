// SPDX-License-Identifier: Apache-2.0
#include "platform/conform/workload_arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <vector>

#include "platform/config/nearest_name.hpp"

namespace mmusim::platform {

namespace {

using Names = std::vector<std::string>;

const Names kKinds{"anon", "file", "filepriv", "shmem"};
const Names kOperations{"pageout", "cold",      "free",      "dontneed", "remove",
                        "munmap",  "mprotect",  "protnone",  "mremap",   "msync",
                        "fsync",   "truncate",  "punch",     "reclaim",  "move",
                        "moveall", "clearrefs", "softdirty", "idleset",  "idleread",
                        "mlock",   "munlock",   "read",      "write",    "none"};
const Names kPreparations{"none",     "clean",     "cleanfile",  "madvfree",     "madvfree_redirty",
                          "mlock",    "mlockboth", "mlockchild", "mlockonfault", "swapout",
                          "splitpte", "idleset",   "recl_touch"};
const Names kOperators{"self", "rec"};

// What else the program knows.
const Names kOtherKinds{"thp",      "ksm", "hugetlb", "hugeshare",
                        "hugepriv", "kvm", "kvmthp",  "kvmksm"};
const Names kOtherOperations{"hwpoison", "softoff", "compact", "ksmrun", "ksmunmerge"};
const Names kOtherPreparations{"ksm"};

constexpr std::string_view kKernel = "5.0.";

bool contains(const Names& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

template <class Error = UserError>
[[noreturn]] void refuse(const Capture& capture, const std::string& key, const std::string& what) {
    throw Error(
        fmt::format("{}:1: args.{} = \"{}\": {}", capture.file, key, capture.args.at(key), what));
}

/// Reads the arguments one by one; what is left over is unknown.
class Reader {
public:
    explicit Reader(const Capture& capture) : capture_(capture) {}

    void name(const std::string& key, std::string& value, const Names& modelled,
              const Names& others = {}) {
        keys_.push_back(key);
        const auto given = capture_.args.find(key);
        if (given == capture_.args.end()) return;
        value = given->second;
        if (contains(modelled, value)) return;
        if (contains(others, value)) refuse<NotModelled>(capture_, key, "not modelled");
        refuse(capture_, key, "unknown; " + nearest_hint(value, modelled));
    }
    template <class T>
    void number(const std::string& key, T& value) {
        keys_.push_back(key);
        const auto given = capture_.args.find(key);
        if (given == capture_.args.end()) return;
        const auto& text = given->second;
        std::int64_t read = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
        if (error != std::errc{} || end != text.data() + text.size())
            refuse(capture_, key, "expected a number");
        value = static_cast<T>(read);
    }
    /// Says nothing about memory.
    void skip(const std::string& key) { keys_.push_back(key); }

    void finish() const {
        for (const auto& [key, value] : capture_.args)
            if (!contains(keys_, key))
                refuse(capture_, key, "no such argument; " + nearest_hint(key, keys_));
    }

private:
    const Capture& capture_;
    Names keys_;
};

}  // namespace

rmap::VirtRange WorkloadArguments::operated(rmap::VirtRange target) const {
    const auto start = target.start + off * rmap::kPageSize;
    if (len < 0) return {start, target.end};
    return {start, start + static_cast<std::uint64_t>(len) * rmap::kPageSize};
}

WorkloadArguments workload_arguments(const Capture& capture) {
    if (capture.kernel.rfind(kKernel, 0) != 0)
        throw NotModelled(fmt::format("{}:1: kernel = \"{}\": not modelled; expected {}x",
                                      capture.file, capture.kernel, kKernel));
    WorkloadArguments arguments;
    Reader reader(capture);
    reader.name("kind", arguments.kind, kKinds, kOtherKinds);
    reader.name("op", arguments.op, kOperations, kOtherOperations);
    reader.name("prep", arguments.prep, kPreparations, kOtherPreparations);
    reader.name("by", arguments.by, kOperators);
    reader.number("np", arguments.np);
    reader.number("procs", arguments.procs);
    reader.number("thr", arguments.thr);
    reader.number("lazy", arguments.lazy);
    reader.number("opn", arguments.opn);
    reader.number("off", arguments.off);
    reader.number("len", arguments.len);
    reader.number("young", arguments.young);
    reader.number("wr", arguments.wr);
    reader.number("touch", arguments.touch);
    reader.number("spin", arguments.spin);
    reader.number("incg", arguments.incg);
    reader.skip("cgv");
    reader.skip("settle");
    reader.skip("rmask");
    reader.skip("maxlist");
    reader.finish();
    return arguments;
}

}  // namespace mmusim::platform
