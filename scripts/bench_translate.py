#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: bench_translate.py MMUSIM CHASE [PROGRAM...] [--runs N] [--instructions]

How fast `mmusim translate` is, against valgrind's cachegrind on the same program and geometry, in one run
of this script: references per second of CPU time, medians of N runs that take turns. cachegrind's whole
run counts, executing the program included; of mmusim the whole process, with a binary trace that was made
before. Programs are those of cachegrind_compare.py. --instructions adds host instructions per reference,
counted by callgrind between the first million references and the third.

Exit code: 0, 2 for wrong arguments or what cannot be run. Targets are printed and not judged: a busy
machine misses them.
"""
import argparse
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import cachegrind_compare as compare

GEOMETRY = compare.Geometry(compare.GEOMETRIES[0])
# How mmusim is asked, and what share of cachegrind's rate is hoped for.
WAYS = [("sockets", ["--dmi", "off"], {"sort": 0.2, "gzip": 0.2, "chase": 0.2}),
        ("filter", ["--dmi", "on"], {"sort": 0.4, "gzip": 0.4}),
        ("sockets, no oracle", ["--dmi", "off", "--no-oracle"], {}),
        ("filter, no oracle", ["--dmi", "on", "--no-oracle"], {})]
FROM, TO = 1_000_000, 3_000_000


def cpu_seconds(command, **options):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def make_trace(mmusim, command, file):
    """Returns its references."""
    lackey = compare.valgrind(["--tool=lackey", "--trace-mem=yes", "--basic-counts=no"], command)
    converted = subprocess.run([mmusim, "convert", "-", file], stdin=lackey.stderr,
                               capture_output=True, text=True)
    lackey.stderr.close()
    lackey.wait()
    if converted.returncode != 0:
        raise RuntimeError(converted.stderr.strip())
    return int(re.match(r"([\d,]+) references", converted.stderr).group(1).replace(",", ""))


def translate(mmusim, trace, way):
    return [mmusim, "translate", compare.PLATFORM, "--trace", str(trace), "--quiet",
            *GEOMETRY.mmusim(), *way]


def instructions(command, folder):
    out = folder / "callgrind.out"
    subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command],
                   check=True, capture_output=True)
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))


def measure(arguments, program, command, folder):
    trace = folder / f"{program}.mmt"
    references = make_trace(arguments.mmusim, command, trace)
    environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    cachegrind = ["setarch", "-R", "valgrind", "--tool=cachegrind",
                  "--cachegrind-out-file=/dev/null", *GEOMETRY.cachegrind(), *command]
    seconds = {"cachegrind": []}
    for _ in range(arguments.runs):
        seconds["cachegrind"].append(cpu_seconds(cachegrind, env=environment))
        for name, way, _ in WAYS:
            seconds.setdefault(name, []).append(
                cpu_seconds(translate(arguments.mmusim, trace, way)))
    rates = {name: references / statistics.median(times) / 1e6 for name, times in seconds.items()}
    print(f"{program}: {references:,} references")
    print(f"  {'cachegrind':<22}{rates['cachegrind']:9.1f} M/s")
    for name, way, targets in WAYS:
        text = f"  {name:<22}{rates[name]:9.1f} M/s  {rates[name] / rates['cachegrind']:6.3f} x"
        if program in targets:
            text += f"  (target {targets[program]} x)"
        if arguments.instructions:
            counts = [instructions(translate(arguments.mmusim, trace, way)
                                   + ["--limit", str(limit)], folder) for limit in (FROM, TO)]
            text += f"  {(counts[1] - counts[0]) / (TO - FROM):7.1f} instructions per reference"
        print(text, flush=True)
    trace.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mmusim", type=os.path.abspath)
    parser.add_argument("chase", type=os.path.abspath)
    parser.add_argument("program", nargs="*", default=["sort", "gzip", "chase"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--instructions", action="store_true")
    arguments = parser.parse_args()
    if reason := compare.missing():
        print(f"bench_translate.py: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        known = compare.programs(arguments.chase, folder, quick=False)
        for program in arguments.program:
            if program not in known:
                parser.error(f"no program is called '{program}'; there are {', '.join(known)}")
            measure(arguments, program, known[program], folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"bench_translate.py: {error}", file=sys.stderr)
        sys.exit(2)
