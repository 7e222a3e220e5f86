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
const Names kOperations{
    "pageout",    "cold",       "free",      "dontneed", "remove",    "munmap",      "mprotect",
    "protnone",   "mremap",     "msync",     "fsync",    "truncate",  "punch",       "reclaim",
    "move",       "moveall",    "migrate",   "mbind",    "clearrefs", "softdirty",   "idleset",
    "idleread",   "mlock",      "munlock",   "read",     "write",     "childmunmap", "childmunlock",
    "childmlock", "childwrite", "childexit", "fork",     "none"};
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

constexpr std::int64_t kMaxPages = 1 << 17;  ///< half a node
constexpr std::int64_t kMaxProcesses = 7;
constexpr std::int64_t kMaxThreads = 8;
constexpr std::int64_t kMany = 1 << 20;

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
    void number(const std::string& key, T& value, std::int64_t least, std::int64_t most) {
        keys_.push_back(key);
        const auto given = capture_.args.find(key);
        if (given == capture_.args.end()) return;
        const auto& text = given->second;
        std::int64_t read = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
        if (error != std::errc{} || end != text.data() + text.size())
            refuse(capture_, key, "expected a number");
        if (read < least || read > most)
            refuse(capture_, key, fmt::format("expected {} to {}", least, most));
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

/// What the program itself would not survive.
void check_together(const Capture& capture, const WorkloadArguments& arguments) {
    if (arguments.thr + arguments.lazy > kMaxThreads)
        refuse(capture, "lazy", fmt::format("expected at most {} threads in all", kMaxThreads));
    if (arguments.off > arguments.np)
        refuse(capture, "off", "the operation begins behind the target");
    if (arguments.op.rfind("child", 0) == 0 && arguments.procs < 2)
        refuse(capture, "op", "there is no child");
    if (arguments.op == "childexit" && arguments.opn > 1)
        refuse(capture, "opn", "the child exits once");
    if (arguments.prep == "mlockchild" && arguments.procs < 2)
        refuse(capture, "prep", "there is no child");
    const unsigned procs = std::max(arguments.procs, 1U);
    for (const auto& page : capture.pages_before)
        if (page.process >= procs)
            throw UserError(fmt::format("{}:1: pages_before: there is no process {}", capture.file,
                                        page.process));
    for (const auto& entry : capture.mms) {
        bool known = entry.second == "main" || (entry.second == "rec" && arguments.by_rec());
        for (unsigned n = 1; n < procs; ++n) known |= entry.second == "p" + std::to_string(n);
        if (!known)
            throw UserError(
                fmt::format("{}:1: mms: there is no process {}", capture.file, entry.second));
    }
    const bool accesses = arguments.op == "read" || arguments.op == "write";
    const bool past_end = arguments.len > static_cast<std::int64_t>(arguments.np - arguments.off);
    if (accesses && (past_end || arguments.by_rec()))
        refuse(capture, "op", "it would access what is not mapped");
}

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
    reader.number("np", arguments.np, 1, kMaxPages);
    reader.number("procs", arguments.procs, 0, kMaxProcesses);
    reader.number("thr", arguments.thr, 0, kMaxThreads);
    reader.number("lazy", arguments.lazy, 0, kMaxThreads);
    reader.number("opn", arguments.opn, 0, kMany);
    reader.number("off", arguments.off, 0, kMaxPages);
    reader.number("len", arguments.len, -kMany, kMaxPages);
    reader.number("young", arguments.young, -kMany, kMany);
    reader.number("wr", arguments.wr, -kMany, kMany);
    reader.number("touch", arguments.touch, 0, 2);
    reader.number("spin", arguments.spin, -kMany, kMany);
    reader.number("incg", arguments.incg, -kMany, kMany);
    reader.skip("kg");  // of guests only
    reader.skip("cgv");
    reader.skip("settle");
    reader.skip("rmask");
    reader.skip("maxlist");
    reader.finish();
    check_together(capture, arguments);
    return arguments;
}

}  // namespace mmusim::platform
