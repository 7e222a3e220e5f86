#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: plot_chase.py PLATFORM [-o FILE.png|FILE.svg] [--mmusim PROGRAM] [-- OPTION...]

A pointer chase over more and more pages, as `mmusim translate PLATFORM` sees it: the mean latency of a
translation and the misses of each TLB that serves loads, per access, once all pages were visited before.
Vertical lines are the configured numbers of entries; the steps belong there. A chase is a random order of
N neighbouring pages, always the same, gone round again and again. OPTION... is for mmusim, such as
--set tlb.dtlb.array.small.entries=128. Needs matplotlib (Debian package python3-matplotlib).
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "lib"))
import pictures  # noqa: E402

BASE = 0x7F0000000000
PAGE = 4096
# Okabe and Ito: told apart also by those who do not see all colours.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"]
MARKERS = "osD^v"
LARGEST = 8192
VISITS = 40_000  # loads that are measured, at least one round
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "#dddddd", "grid.linewidth": 0.6, "axes.titlesize": 10.5,
         "legend.frameon": False}


def page_counts():
    """Four steps for each power of two, and the neighbours of it."""
    counts = set()
    power = 4
    while power <= LARGEST:
        counts.update((power, power * 9 // 8, power * 5 // 4, power * 3 // 2, power * 7 // 4))
        power *= 2
    return sorted(count for count in counts if count <= LARGEST)


def chase(pages, rounds):
    order = list(range(pages))
    random.Random(pages).shuffle(order)
    return "".join(f" L {BASE + PAGE * page:x},8\n" for page in order) * rounds


def translate(arguments, pages, rounds):
    done = subprocess.run([arguments.mmusim, "translate", arguments.platform, "--trace", "-",
                           "--format", "json", "--no-oracle", *arguments.options],
                          input=chase(pages, rounds), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def measured(arguments, pages):
    """Of the rounds after the first: {"latency": ns per access, TLB: misses per access}."""
    rounds = 1 + max(1, VISITS // pages)
    first, all_rounds = translate(arguments, pages, 1), translate(arguments, pages, rounds)
    accesses = pages * (rounds - 1)
    values = {"latency": (all_rounds["latency_ns"]["sum"] - first["latency_ns"]["sum"]) / accesses}
    for one, many in zip(first["tlbs"], all_rounds["tlbs"]):
        if many["read"]["lookups"] > 0 or many["level"] > 1:
            values[one["name"]] = (many["read"]["misses"] - one["read"]["misses"]) / accesses
    return values, all_rounds


def capacities(results, page_size):
    """[(TLB, entries)] of what keeps pages of that size, by the effective configuration."""
    found = []
    for tlb in results["tlbs"]:
        section = results["config"]["tlb"][tlb["name"]]
        if "data" not in section["serves"]["value"]:
            continue
        for array in section["array"].values():
            if page_size in array["pages"]["value"] and array["entries"]["value"]:
                found.append((tlb["name"], array["entries"]["value"]))
    return found


def draw(plt, arguments, counts, rows, results):
    from matplotlib import ticker
    figure, (above, below) = plt.subplots(2, 1, figsize=(8.0, 6.4), sharex=True,
                                          layout="constrained")
    above.plot(counts, [row["latency"] for row in rows], color="#222222", marker="o", markersize=3.5,
               linewidth=1.5)
    above.set_ylabel("mean latency of a translation (ns)")
    above.set_ylim(bottom=0)
    entries = capacities(results, results["pages"]["size"])
    names = [name for name, _ in entries]
    for index, name in enumerate(dict.fromkeys(names)):
        below.plot(counts, [row[name] for row in rows], color=COLOURS[index % len(COLOURS)],
                   marker=MARKERS[index % len(MARKERS)], markersize=3.5, linewidth=1.5,
                   label=f"misses of {name}")
    for name, count in entries:
        colour = COLOURS[names.index(name) % len(COLOURS)]
        for panel in (above, below):
            panel.axvline(count, color=colour, linestyle="--", linewidth=1.0)
        above.annotate(f"{name}: {count}", (count, 1), xycoords=("data", "axes fraction"),
                       xytext=(-4, -4), textcoords="offset points", rotation=90, va="top", ha="right",
                       color=colour)
    below.set_ylabel("per access")
    below.set_ylim(-0.03, 1.05)
    below.legend(loc="upper left")
    below.set_xscale("log", base=2)
    below.xaxis.set_major_locator(ticker.LogLocator(base=2, numticks=20))
    below.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
    below.set_xlabel(f"pages of the chase, {results['pages']['size']} each")
    figure.suptitle(f"pointer chase on {results['platform']}", fontsize=12.5)
    figure.savefig(arguments.output, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("platform")
    parser.add_argument("-o", dest="output", default="chase.png")
    parser.add_argument("--mmusim", type=os.path.abspath,
                        default=ROOT.parent / "build/release/platform/mmusim")
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    plt = pictures.load_matplotlib("plot_chase.py", STYLE)
    counts = page_counts()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda pages: measured(arguments, pages), counts))
    draw(plt, arguments, counts, [values for values, _ in done], done[-1][1])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, RuntimeError) as error:
        print(f"plot_chase.py: {error}", file=sys.stderr)
        sys.exit(2)
