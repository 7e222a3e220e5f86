#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the layer rule rmap <- notifiers <- models <- platform; tests may see all.

Prints each offending file:line with the rule it breaks and exits 1. Also checks that every source
is listed in its folder's CMakeLists.txt (an unlisted test would silently never run) and that the
top level of the repository holds nothing new.

usage: check_layers.py [ROOT | --self-test]
"""
import fnmatch
import os
import re
import subprocess
import sys
import tempfile

LAYERS = ("rmap", "notifiers", "models", "platform", "tests")
TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "models", "platform",
             "rmap", "notifiers", "configs", "tests", "scripts", "build"}
SHARED = ("rmap/types/", "rmap/ports/", "rmap/sync/", "rmap/account/")

# Layer -> (what its quoted includes may start with, the rule in words).
OURS = {
    "rmap": (("rmap/",), "rmap includes only the standard library and rmap"),
    "notifiers": (SHARED + ("notifiers/",),
                  "notifiers sees only rmap/types, ports, sync, account and notifiers"),
    "models": (SHARED + ("notifiers/notifier_client.hpp", "models/"),
               "models sees only rmap/types, ports, sync, account, "
               "notifiers/notifier_client.hpp and models: hardware does not know the kernel"),
    "platform": (("rmap/", "notifiers/", "models/", "platform/"),
                 "platform sees the four layers, never tests"),
    "tests": (tuple(layer + "/" for layer in LAYERS), "includes are repo-rooted"),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SYSTEMC = re.compile(r"^(systemc|tlm)(\.h)?$|^(sysc|tlm_core|tlm_utils)/")
TOML = re.compile(r"^toml(\+\+|\.h)")
# "*" crosses folders here, so that "models/*_module.*" means any depth.
SYSTEMC_FILES = ("models/*_module.*", "models/tlm/*", "platform/*", "tests/*")
TOML_FILES = ("platform/config/*toml*",)

STANDARD = set("""
algorithm any array atomic bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes
climits clocale cmath complex condition_variable csetjmp csignal cstdarg cstddef cstdint cstdio
cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem forward_list
fstream functional future initializer_list iomanip ios iosfwd iostream istream iterator limits list
locale map memory memory_resource mutex new numeric optional ostream queue random ratio regex
scoped_allocator set shared_mutex sstream stack stdexcept streambuf string string_view strstream
system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility
valarray variant vector version
""".split())


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def broken_rule(path, quote, name):
    """The rule that including `name` in `path` breaks, or None."""
    layer = path.split("/")[0]
    allowed, rule = OURS[layer]
    if quote == '"' or name.startswith(tuple(other + "/" for other in LAYERS)):
        if "/../" in "/" + name or not name.startswith(tuple(other + "/" for other in LAYERS)):
            return "includes are repo-rooted, and libraries are included with <>"
        return None if name.startswith(allowed) else rule
    if SYSTEMC.match(name):
        if layer in ("rmap", "notifiers"):
            return rule + ", never SystemC or TLM"
        return (None if matches(path, SYSTEMC_FILES) else
                "SystemC and TLM appear only in *_module.*, models/tlm, platform and tests")
    if TOML.match(name):
        return None if matches(path, TOML_FILES) else "toml++ appears only in platform/config/*toml*"
    if layer in ("rmap", "notifiers", "models") and name not in STANDARD:
        return f"{layer} uses no library but the standard one" + (
            " and SystemC" if layer == "models" else "")
    return None


def source_files(root, layer):
    for folder, folders, names in os.walk(os.path.join(root, layer)):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".cpp", ".hpp", ".def", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


def listed_sources(root, layer):
    try:
        with open(os.path.join(root, layer, "CMakeLists.txt"), encoding="utf-8") as lists:
            return set(re.sub(r"#.*", "", lists.read()).replace("(", " ").replace(")", " ").split())
    except FileNotFoundError:
        return set()


def top_level(root):
    # What git knows, so that somebody's result folder beside the sources is no offence.
    if os.path.exists(os.path.join(root, ".git")):
        known = subprocess.run(["git", "-C", root, "ls-files", "-z"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, check=False)
        if known.returncode == 0:
            return sorted({path.split("/")[0] for path in known.stdout.split("\0") if path})
    return sorted(os.listdir(root))


def check(root):
    """All offences in the tree at `root`, as printable lines."""
    offences = []
    for layer in LAYERS:
        listed = listed_sources(root, layer)
        for path in source_files(root, layer):
            with open(os.path.join(root, path), encoding="utf-8") as source:
                for number, line in enumerate(source, 1):
                    include = INCLUDE.match(line)
                    rule = include and broken_rule(path, *include.groups())
                    if rule:
                        offences.append(f"{path}:{number}: {line.strip()}\n    {rule}")
            if path.endswith(".cpp") and os.path.relpath(path, layer) not in listed:
                offences.append(f"{path}:1: not built\n    every source is listed in "
                                f"{layer}/CMakeLists.txt")
    for name in top_level(root):
        if not name.startswith(".") and name not in TOP_LEVEL:
            offences.append(f"{name}:1: new at the top level\n    the top level is fixed")
    return offences


def self_test():
    """Each include alone in a tree: flagged at its line if bad, silent if good."""
    cases = [  # file, include, is it allowed
        ("rmap/mm/a.cpp", "<vector>", True),
        ("rmap/mm/a.cpp", '"rmap/types/address.hpp"', True),
        ("rmap/mm/a.cpp", '"rmap/types/events.def"', True),
        ("rmap/mm/a.cpp", '"notifiers/notifier_chain.hpp"', False),
        ("rmap/mm/a.cpp", "<systemc>", False),
        ("rmap/mm/a.cpp", "<fmt/format.h>", False),
        ("rmap/mm/a.hpp", '"address.hpp"', False),
        ("rmap/mm/a.hpp", '"rmap/../models/tlb/tlb_array.hpp"', False),
        ("notifiers/a.cpp", '"rmap/ports/time_port.hpp"', True),
        ("notifiers/a.cpp", '"rmap/sync/lock.hpp"', True),
        ("notifiers/a.cpp", '"rmap/mm/folio.hpp"', False),
        ("notifiers/a.cpp", "<tlm>", False),
        ("models/tlb/tlb_array.cpp", '"rmap/types/address.hpp"', True),
        ("models/kvm/a.hpp", '"notifiers/notifier_client.hpp"', True),
        ("models/kvm/a.hpp", '"notifiers/notifier_chain.hpp"', False),
        ("models/tlb/tlb_array.cpp", '"rmap/flush/flush_batch.hpp"', False),
        ("models/tlb/tlb_array.cpp", '"rmap/mm/folio.hpp"', False),
        ("models/tlb/tlb_array.cpp", "<rmap/mm/folio.hpp>", False),
        ("models/tlb/tlb_array.cpp", '"platform/build/platform.hpp"', False),
        ("models/tlb/tlb_array.cpp", "<systemc>", False),
        ("models/tlb/tlb_array.cpp", "<nlohmann/json.hpp>", False),
        ("models/tlb/tlb_module.cpp", "<systemc>", True),
        ("models/tlb/tlb_module.hpp", "<tlm_utils/simple_target_socket.h>", True),
        ("models/tlm/payload_pool.hpp", "<tlm>", True),
        ("platform/run/a.cpp", '"rmap/unmap/try_to_unmap.hpp"', True),
        ("platform/run/a.cpp", "<systemc>", True),
        ("platform/run/a.cpp", "<fmt/format.h>", True),
        ("platform/run/a.cpp", '"tests/support/a.hpp"', False),
        ("platform/run/a.cpp", "<toml++/toml.h>", False),
        ("platform/config/toml_reader.cpp", "<toml++/toml.h>", True),
        ("tests/unit/a_test.cpp", '"rmap/mm/folio.hpp"', True),
        ("tests/component/a_test.cpp", "<systemc>", True),
        ("tests/unit/a_test.cpp", "<toml++/toml.h>", False),
    ]
    failures = []

    def expect(what, root, wanted):
        found = check(root)
        if len(found) != len(wanted) or any(not f.startswith(w) for f, w in zip(found, wanted)):
            failures.append(f"{what}: expected {wanted}, found {found}")

    def write(root, path, text):
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
            file.write(text)

    for path, include, allowed in cases:
        with tempfile.TemporaryDirectory() as root:
            layer, _, name = path.partition("/")
            write(root, f"{layer}/CMakeLists.txt", f"target_sources(t PRIVATE\n    {name}\n)\n")
            write(root, path, f"// first line\n#include {include}\n")
            expect(f"{path} {include}", root, [] if allowed else [f"{path}:2: #include {include}"])
    with tempfile.TemporaryDirectory() as root:
        write(root, "tests/CMakeLists.txt", "# unit/lost_test.cpp\n")
        write(root, "tests/unit/lost_test.cpp", "")
        write(root, "docs/index.md", "")
        expect("tree", root, ["tests/unit/lost_test.cpp:1: not built", "docs:1: new at the top"])
    print("\n".join(failures) or f"{len(cases) + 1} trees judged as expected")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(__doc__.strip().splitlines()[-1], file=sys.stderr)
        return 2
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    offences = check(arguments[0] if arguments else here)
    for offence in offences:
        print(offence)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
