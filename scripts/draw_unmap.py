#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: draw_unmap.py EVENTS.jsonl [-o FILE] [options]    one unmap end to end: who waits for whom

Draws one operation of an event log (mmusim run ... --events EVENTS.jsonl): a lane per CPU, IOMMU and
device that takes part, boxes for what each one does, hatched where it waits, an arrow from each cause to
its effect (mmusim list causes). Dark arrows are those that ended a wait. Needs matplotlib (Debian package
python3-matplotlib).
"""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import pictures  # noqa: E402
import unmap_layout  # noqa: E402
import unmap_log  # noqa: E402
import unmap_phases  # noqa: E402

# Okabe and Ito, and tints of them: told apart also by those who do not see all colours.
COLOURS = {
    "walk": "#56B4E9", "notifier_start": "#CC79A7", "kvm": "#9A4C7C", "kick": "#D55E00",
    "pte": "#E69F00", "flush": "#0072B2", "ipi": "#4C9BD1", "invalidate": "#7FCDB2",
    "iommu": "#009E73", "notifier_end": "#E5B8D2", "page": "#BDBDBD", "swap": "#D9C7A3",
    "writeback": "#B59A6A", "copy": "#8C6D31", "remove": "#969696", "free": "#F0E442",
    "batch": "#A0A0A0", "interrupted": "#FFCCAA", "handler": "#F4A582", "flushed": "#0072B2",
    "guest": "#E8F1D4",
    "iotlb": "#66A61E", "atc": "#7FCDB2", "dma": "#B8860B",
}
DARK = ("flush", "flushed", "kvm", "kick", "iommu", "iotlb", "copy")  # need white text
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}  # behind text
INCHES, DPI = 16, 100  # 1600 pixels wide
LANE, BOX = 0.62, 0.34  # inches
STYLE = {"hatch.linewidth": 0.6}


def microseconds(time):
    return f"{time / 1e6:.4g} µs"


class Drawing:
    """Puts a Picture on paper: x is 0..1, y counts inches downwards."""

    def __init__(self, picture, source, plt):
        self.picture, self.axis = picture, picture.axis
        rows = -(-len(picture.parts) // 4)
        self.top, self.bottom = 0.75, 0.95 + 0.24 * rows
        height = self.top + LANE * len(picture.lanes) + self.bottom
        self.figure = plt.figure(figsize=(INCHES, height), dpi=DPI)
        left, right = 1.55 / INCHES, 1 - 0.35 / INCHES
        self.axes = self.figure.add_axes((left, self.bottom / height, right - left,
                                          LANE * len(picture.lanes) / height))
        self.axes.set_xlim(0, 1)
        self.axes.set_ylim(len(picture.lanes), 0)
        self.width = (right - left) * INCHES
        self._titles(source, height)
        self._time()
        for row, lane in enumerate(picture.lanes):
            self._lane(row, lane)
        self._arrows()
        self._legend(height)

    def _titles(self, source, height):
        self.figure.text(0.35 / INCHES, 1 - 0.33 / height, f"{self.picture.title}: "
                         f"{microseconds(self.picture.length)}", fontsize=14, weight="bold")
        self.figure.text(1 - 0.35 / INCHES, 1 - 0.33 / height, source, ha="right", color="#666666")

    def _time(self):
        ticks = self.axis.ticks()
        self.axes.set_xticks([self.axis.place(t) for t in ticks], [f"{t / 1e6:g}" for t in ticks])
        begun = "try_to_unmap" if self.picture.title.startswith("unmap") else "the call"
        self.axes.set_xlabel(f"µs since the entry of {begun}")
        self.axes.grid(axis="x", color="#e2e2e2", linewidth=0.6)
        self.axes.set_axisbelow(True)
        self.axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            self.axes.spines[side].set_visible(False)
        lanes = self.picture.lanes
        names = [lane.agent + (f"\n{lane.title}" if lane.title else "") for lane in lanes]
        self.axes.set_yticks([row + 0.5 for row in range(len(lanes))], names)
        for begin, end in self.axis.cuts:
            middle = (self.axis.place(begin) + self.axis.place(end)) / 2
            for shift in (-0.003, 0.003):
                self.axes.plot([middle + shift - 0.003, middle + shift + 0.003],
                               [len(lanes) + 0.1, len(lanes) - 0.1], color="black", linewidth=1,
                               clip_on=False, zorder=6)

    def _lane(self, row, lane):
        self.axes.axhline(row + 0.5, color="#999999", linewidth=0.8, zorder=1)
        half = BOX / LANE / 2
        for box in lane.boxes:
            x, end = self.axis.place(box.begin), self.axis.place(box.end)
            colour = COLOURS[box.phase]
            self.axes.add_patch(self._rectangle(x, row + 0.5 - half, end - x, 2 * half, colour,
                                                box.waits))
            self._text_in(box, x, end, row)
        written = -1
        for time, text in lane.marks:
            x = self.axis.place(time)
            self.axes.plot(x, row + 0.5, marker="o", markersize=3.2, color="black", zorder=5)
            if x < written:
                continue
            written = x + (len(text) * 0.055 + 0.1) / self.width
            # Below the lane of hardware, whose boxes stand close; in that of a CPU, left to the arrows.
            inside = unmap_log.cpu_number(lane.agent) is not None
            self.axes.text(x + 0.002, row + 0.5 + (-0.06 if inside else half + 0.02), text, fontsize=6.5,
                           va="bottom" if inside else "top", zorder=6, bbox=_PAPER)

    def _rectangle(self, x, y, width, height, colour, waits):
        from matplotlib.patches import Rectangle
        if waits:
            return Rectangle((x, y), width, height, facecolor="white", edgecolor=colour,
                             hatch="////", linewidth=1, zorder=2)
        return Rectangle((x, y), width, height, facecolor=colour, edgecolor="white", linewidth=0.4,
                         zorder=2)

    def _text_in(self, box, x, end, row):
        """What fits: the label or the phase, with the time or without."""
        time = microseconds(box.end - box.begin)
        name = box.label or unmap_phases.PHASES[box.phase]
        room = (end - x) * self.width
        for text in (f"{name}\n{time}", f"{name.split(':')[-1].strip()}\n{time}", time):
            lines = text.split("\n")
            if max(map(len, lines)) * 0.068 + 0.06 <= room:
                dark = box.phase in DARK and not box.waits
                self.axes.text((x + end) / 2, row + 0.5, text, ha="center", va="center", fontsize=7.5,
                               linespacing=1.05, color="white" if dark else "black", zorder=6,
                               bbox=_PAPER if box.waits or box.phase == "guest" else None)
                return

    def _arrows(self):
        rows = {lane.agent: row for row, lane in enumerate(self.picture.lanes)}
        half, named = BOX / LANE / 2, set()
        for arrow in self.picture.arrows:
            source, target = rows[arrow.source], rows[arrow.target]
            side = 1 if target > source else -1 if target < source else 0
            self.axes.annotate(
                "", xy=(self.axis.place(arrow.end), target + 0.5 - side * half),
                xytext=(self.axis.place(arrow.begin), source + 0.5 + side * half),
                arrowprops={"arrowstyle": "-|>,head_width=0.18,head_length=0.35", "shrinkA": 0,
                            "shrinkB": 0, "color": "black" if arrow.critical else "#8a8a8a",
                            "linewidth": 1.3 if arrow.critical else 0.7},
                zorder=4 if arrow.critical else 3, annotation_clip=False)
            if arrow.critical and arrow.rule not in named and source != target:
                named.add(arrow.rule)
                self._name_arrow(arrow, source + 0.5 + side * half, target + 0.5 - side * half)

    def _name_arrow(self, arrow, y, end_y):
        """Beside its middle, where it crosses no lane."""
        share = 0.5 if abs(end_y - y) < 1 else (abs(end_y - y) - 0.25) / abs(end_y - y)
        share = share if y < end_y else 1 - share
        x, end_x = self.axis.place(arrow.begin), self.axis.place(arrow.end)
        beside = -0.006 if y < end_y else 0.006
        self.axes.text(x + (end_x - x) * share + beside, y + (end_y - y) * share, arrow.rule,
                       fontsize=7.5, style="italic", va="center", zorder=6, bbox=_PAPER,
                       ha="right" if y < end_y else "left")

    def _legend(self, height):
        """Where the time of the initiator went: the parts add up to the latency."""
        handles, names = [], []
        others = {(box.phase, box.waits) for lane in self.picture.lanes[1:] for box in lane.boxes}
        for phase, waits, time in self.picture.parts:
            handles.append(self._rectangle(0, 0, 1, 1, COLOURS[phase], waits))
            share = 100 * time / self.picture.length
            waiting = ", waiting" if waits and phase != "batch" else ""
            names.append(f"{unmap_phases.PHASES[phase]}{waiting}: {microseconds(time)} ({share:.1f} %)")
        self.figure.legend(handles, names, loc="lower left", ncol=4, frameon=False, fontsize=9,
                           bbox_to_anchor=(0.25 / INCHES, 0.1 / height), handlelength=1.6,
                           columnspacing=1.4, title=f"Time of {self.picture.lanes[0].agent}, the "
                           "initiator; it adds up to the latency", title_fontsize=9,
                           alignment="left")
        if others:
            self._legend_of_others(height, sorted(others, key=lambda o: (list(COLOURS).index(o[0]), o[1])))
        if self.picture.left_out:
            self.figure.text(1 - 0.35 / INCHES, 0.2 / height, f"{len(self.picture.left_out)} more agents "
                             f"take part: {self.picture.left_out[0]} to {self.picture.left_out[-1]}",
                             ha="right", color="#666666", fontsize=9)


    def _legend_of_others(self, height, kinds):
        handles = [self._rectangle(0, 0, 1, 1, COLOURS[phase], waits) for phase, waits in kinds]
        names = [unmap_phases.PHASES[phase] + (", waiting" if waits else "") for phase, waits in kinds]
        self.figure.legend(handles, names, loc="upper right", ncol=len(kinds), frameon=False,
                                    fontsize=9, handlelength=1.6, columnspacing=1.4,
                                    bbox_to_anchor=(1 - 0.25 / INCHES, 1 - 0.4 / height))


def built_program():
    built = ROOT / "build" / "release" / "platform" / "mmusim"
    return str(built) if built.exists() else "mmusim"


def parse_arguments():
    usage, _, about = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(usage=usage.split("    ")[0].removeprefix("usage: "),
                                     description=about)
    parser.add_argument("events", help="event log, JSONL")
    parser.add_argument("-o", "--output", help="FILE.png or FILE.svg (EVENTS.png)")
    parser.add_argument("--kind", default="unmap", help="kind of operation, such as munmap (unmap)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--page", type=int, metavar="N", help="the N-th finished one of its kind, from 1")
    which.add_argument("--operation", metavar="ID", help='such as 0.17; without both, the median one')
    parser.add_argument("--lanes", type=int, default=12, help="draw at most so many agents (12)")
    parser.add_argument("--mmusim", default=built_program(), metavar="PROGRAM",
                        help="asked for its vocabulary (the one built here, or mmusim in PATH)")
    options = parser.parse_args()
    if options.lanes < 2:
        parser.error(f"--lanes is {options.lanes}; expected at least 2")
    return options


def main():
    options = parse_arguments()
    output = options.output or str(pathlib.Path(options.events).with_suffix(".png"))
    if pathlib.Path(output).suffix not in (".png", ".svg"):
        print(f"draw_unmap.py: {output}: expected FILE.png or FILE.svg", file=sys.stderr)
        return 2
    plt = pictures.load_matplotlib("draw_unmap.py", STYLE)
    try:
        vocabulary = unmap_log.Vocabulary.of(options.mmusim)
        finished = unmap_log.operations(options.events, vocabulary)
        operation = unmap_log.select(finished, options.kind, options.operation, options.page)
        events = unmap_log.events_of(options.events, operation)
        picture = unmap_layout.picture(operation, events, vocabulary.causes, options.lanes)
        drawing = Drawing(picture, pathlib.Path(options.events).name, plt)
        metadata = {"Date": None} if output.endswith(".svg") else {}
        drawing.figure.savefig(output, metadata=metadata)
    except (unmap_log.LogError, OSError, subprocess.CalledProcessError) as error:
        print(f"draw_unmap.py: {error}", file=sys.stderr)
        return 2
    except (KeyError, IndexError, TypeError, ValueError) as error:
        print(f"draw_unmap.py: {options.events}: events of another version of mmusim than "
              f"{options.mmusim} ({error})", file=sys.stderr)
        return 2
    print(f"{picture.title}: {microseconds(picture.length)} -> {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
