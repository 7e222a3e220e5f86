#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: cachegrind_compare.py MMUSIM CHASE [PROGRAM...] [--geometry G]... [--quick]

TLB misses of `mmusim translate --straddle cachegrind` against valgrind's cachegrind, whose caches are
given lines of the size of a page: instruction, read and write misses of both levels have to be equal.
CHASE is the built tests/programs/chase.cpp. PROGRAM is chase, sort, gzip, or a command line in quotes;
without any, these three. Both tools run it under `setarch -R` with the same environment. First the
references are compared: a run in which they differ shows nothing, and is repeated up to twice.

G is "I1,D1,LL,PAGE", each of the first three ENTRIES:WAYS; without any, the first of GEOMETRIES, with
--all-geometries all of them. --quick: a shorter chase.

Exit code: 0 all equal, 1 misses differ, 2 wrong arguments, or nothing could be compared, 77 without
valgrind (Debian package valgrind), or where the system does not let setarch -R.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

GEOMETRIES = ["64:4,64:4,1536:12,4K", "128:8,64:4,1024:8,4K", "48:48,64:64,2048:2048,4K",
              "16:1,32:2,256:4,4K", "8:8,32:4,512:8,2M"]
PLATFORM = "skylake-sp-2s"
PAGE_BYTES = {"4K": 4096, "2M": 2 << 20}
# Of cachegrind's file, by kind: references, misses of the first level, misses of the last.
EVENTS = {"fetch": ("Ir", "I1mr", "ILmr"), "read": ("Dr", "D1mr", "DLmr"),
          "write": ("Dw", "D1mw", "DLmw")}
RUNS = 3


class Geometry:
    """Two caches of the first level and a common one below, or the same of TLBs."""

    def __init__(self, text):
        parts = text.split(",")
        if len(parts) != 4 or parts[3] not in PAGE_BYTES:
            raise ValueError(f"geometry '{text}': expected I1,D1,LL,PAGE with PAGE one of "
                             f"{', '.join(PAGE_BYTES)}")
        self.text, self.page = text, parts[3]
        self.levels = [tuple(int(number) for number in part.split(":")) for part in parts[:3]]

    def cachegrind(self):
        size = PAGE_BYTES[self.page]
        return [f"--{name}={entries * size},{ways},{size}"
                for name, (entries, ways) in zip(("I1", "D1", "LL"), self.levels)]

    def mmusim(self):
        array = "small" if self.page == "4K" else "large"
        sections = [f"tlb.itlb.array.{array}", f"tlb.dtlb.array.{array}", "tlb.stlb.array.shared"]
        arguments = ["--page-size", self.page]
        for section, (entries, ways) in zip(sections, self.levels):
            for key, value in (("entries", entries), ("ways", ways), ("index", '"plain"'),
                               ("replacement", '"lru"')):
                arguments += ["--set", f"{section}.{key}={value}"]
        return arguments


def programs(chase, folder, quick):
    """The known programs, and what they read: always the same."""
    steps = 200_000 if quick else 4_000_000
    lines, state = [], 1
    for _ in range(20_000):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        lines.append(f"{state >> 33:010d} {state >> 40:x}\n")
    text = folder / "lines.txt"
    text.write_text("".join(lines))
    # Neither asks the machine how much memory and how many processors it has, nor for the time.
    return {"chase": [chase, "65536", str(steps)],
            "sort": ["/usr/bin/sort", "--parallel=1", "-S", "4M", str(text)],
            "gzip": ["/usr/bin/gzip", "-n", "-c", str(text)]}


def valgrind(arguments, command, **streams):
    environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    line = ["setarch", "-R", "valgrind", *arguments, *command]
    return subprocess.Popen(line, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **streams)


def cachegrind_counts(geometry, command, folder):
    out = folder / "cachegrind.out"
    run = valgrind(["--tool=cachegrind", f"--cachegrind-out-file={out}", *geometry.cachegrind()],
                   command)
    errors = run.communicate()[1].decode(errors="replace")
    if run.returncode != 0:
        raise RuntimeError(f"cachegrind: {errors.strip()}")
    content = out.read_text(errors="replace")
    names = re.search(r"^events: (.*)$", content, re.M).group(1).split()
    numbers = re.search(r"^summary: (.*)$", content, re.M).group(1).split()
    all_counts = dict(zip(names, map(int, numbers)))
    return {kind: [all_counts[name] for name in row] for kind, row in EVENTS.items()}


def mmusim_counts(mmusim, geometry, command):
    lackey = valgrind(["--tool=lackey", "--trace-mem=yes", "--basic-counts=no"], command)
    translate = subprocess.run(
        [mmusim, "translate", PLATFORM, "--trace", "-", "--straddle", "cachegrind", "--format",
         "json", "--no-oracle", *geometry.mmusim()], stdin=lackey.stderr, capture_output=True)
    lackey.stderr.close()
    if translate.returncode != 0:
        raise RuntimeError(translate.stderr.decode(errors="replace").strip())
    if lackey.wait() != 0:
        raise RuntimeError(f"lackey ended with {lackey.returncode}")
    result = json.loads(translate.stdout)
    references = result["references"]
    of = {"fetch": references["fetch"], "read": references["load"] + references["modify"],
          "write": references["store"]}
    tlbs = {tlb["name"]: tlb for tlb in result["tlbs"]}
    first = {"fetch": "itlb", "read": "dtlb", "write": "dtlb"}
    return {kind: [of[kind], tlbs[first[kind]][kind]["misses"], tlbs["stlb"][kind]["misses"]]
            for kind in EVENTS}


def compare(mmusim, geometry, name, command, folder):
    """True, False, or None if the runs were not of the same references."""
    for _ in range(RUNS):
        theirs = cachegrind_counts(geometry, command, folder)
        ours = mmusim_counts(mmusim, geometry, command)
        if all(theirs[kind][0] == ours[kind][0] for kind in EVENTS):
            break
    else:
        for kind in EVENTS:
            print(f"not comparable  {name}  {geometry.text}  {kind}: cachegrind has "
                  f"{theirs[kind][0]:,} references, lackey {ours[kind][0]:,}")
        return None
    equal = theirs == ours
    print(f"{'equal ' if equal else 'DIFFER'}  {name}  {geometry.text}  "
          f"{sum(row[0] for row in ours.values()):,} references")
    for kind in EVENTS:
        for level, column in (("L1", 1), ("L2", 2)):
            a, b = theirs[kind][column], ours[kind][column]
            print(f"    {level} {kind:<6}{a:>14,} misses{'' if a == b else f', ours {b:,}'}")
    sys.stdout.flush()
    return equal


def missing():
    """What cannot be done without, or None."""
    for needed, where in (("valgrind", "valgrind"), ("setarch", "util-linux")):
        if not shutil.which(needed):
            return f"needs {needed} (Debian package {where})"
    tried = subprocess.run(["setarch", "-R", "true"], capture_output=True, text=True)
    return f"needs setarch -R: {tried.stderr.strip()}" if tried.returncode != 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mmusim", type=os.path.abspath)
    parser.add_argument("chase", type=os.path.abspath)
    parser.add_argument("program", nargs="*", default=["chase", "sort", "gzip"])
    parser.add_argument("--geometry", action="append")
    parser.add_argument("--all-geometries", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    chosen = GEOMETRIES if arguments.all_geometries else arguments.geometry or GEOMETRIES[:1]
    if reason := missing():
        print(f"cachegrind_compare.py: {reason}", file=sys.stderr)
        return 77
    try:
        geometries = [Geometry(text) for text in chosen]
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        known = programs(arguments.chase, folder, arguments.quick)
        verdicts = [compare(arguments.mmusim, geometry, program,
                            known.get(program) or shlex.split(program), folder)
                    for program in arguments.program for geometry in geometries]
    if False in verdicts:
        return 1
    return 2 if None in verdicts else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, RuntimeError) as error:
        print(f"cachegrind_compare.py: {error}", file=sys.stderr)
        sys.exit(2)
