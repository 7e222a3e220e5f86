#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: plot_sweep.py DIR [-o FILE]    draws the figure of a finished sweep

Reads DIR/sweep.json. Writes DIR/sweep.png and DIR/sweep.svg, or FILE, whose suffix says the format.
Above: time per page at the median, with a band up to the 99th percentile. Below: rounds of flushes on
other CPUs per page. Along the bottom is the first axis that is a number; the next axis is the colour of a
line; every combination of the others is a column. Needs matplotlib (Debian package python3-matplotlib).
"""
import argparse
import itertools
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "lib"))
import pictures  # noqa: E402

# Okabe and Ito: told apart also by those who do not see all colours.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = "osD^vPX"
UNITS = [("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0)]
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
         "grid.color": "#dddddd", "grid.linewidth": 0.6, "axes.titlesize": 10.5,
         "legend.frameon": False}


class NothingToDraw(Exception):
    pass


def numbers(axis):
    """The points of an axis as numbers, or None."""
    try:
        return [float(name) for name in axis["points"]]
    except ValueError:
        return None


def assign(axes):
    """(axis along the bottom, axis of the lines or None, axes of the columns) of those that vary."""
    varying = [axis for axis in axes if len(axis["points"]) > 1] or axes[:1]
    along = next((axis for axis in varying if numbers(axis)), varying[0])
    others = [axis for axis in varying if axis is not along]
    return along, others[0] if others else None, others[1:]


def per_page(point, percentile):
    """Nanoseconds per page of an operation of that rank; None where nothing was measured."""
    operation = point["operation"]
    if not operation or not operation["count"] or not operation["pages"]:
        return None
    return operation["latency_ns"][percentile] * operation["count"] / operation["pages"]


def rounds_per_page(point, _):
    return point["flush_rounds_per_page"]


class Series:
    """One line of one column: places along the bottom, and values of a measure at them."""

    def __init__(self, points, along, number):
        names = along["points"]
        self.points = sorted(points, key=lambda point: names.index(point["at"][along["name"]]))
        self.x = [number[names.index(point["at"][along["name"]])] for point in self.points]

    def y(self, measure, percentile=None, scale=1.0):
        values = [measure(point, percentile) for point in self.points]
        return [float("nan") if value is None else value / scale for value in values]


def spans_a_decade(values):
    return bool(values) and min(values) > 0 and max(values) > 10 * min(values)


def exponent_of_two(value):
    return value > 0 and value == int(value) and int(value) & (int(value) - 1) == 0


class Figure:
    def __init__(self, sweep, plt):
        self.sweep, self.plt = sweep, plt
        self.along, self.lines, self.columns = assign(sweep["axes"])
        number = numbers(self.along)
        self.number = number or list(range(len(self.along["points"])))
        self.is_number = bool(number)
        self.log_x = self.is_number and spans_a_decade(number)
        self.line_names = self.lines["points"] if self.lines else [None]
        self.series = {}
        for column in self.column_places():
            for line in self.line_names:
                self.series[column, line] = Series(self.select(column, line), self.along,
                                                   self.number)
        medians = [value for series in self.series.values() for value in series.y(per_page, "p50")
                   if value == value]
        if not medians:
            raise NothingToDraw(f"no point has a finished {sweep['operation']}")
        self.unit, self.scale = next((name, scale) for name, scale in UNITS
                                     if scale <= max(medians) or scale == 1.0)

    def column_places(self):
        return list(itertools.product(*(axis["points"] for axis in self.columns)))

    def select(self, column, line):
        wanted = {axis["name"]: name for axis, name in zip(self.columns, column)}
        if self.lines:
            wanted[self.lines["name"]] = line
        return [point for point in self.sweep["points"]
                if all(point["at"][name] == value for name, value in wanted.items())]

    def look(self, index):
        if self.lines and numbers(self.lines) and len(self.line_names) > 1:
            colour = self.plt.get_cmap("viridis")(0.82 * index / (len(self.line_names) - 1))
        else:
            colour = COLOURS[index % len(COLOURS)]
        # Between names there is nothing, hence no line.
        return {"color": colour, "marker": MARKERS[index % len(MARKERS)], "markersize": 4.5,
                "linewidth": 1.6, "linestyle": "-" if self.is_number else "none"}

    def draw(self):
        places = self.column_places()
        width = 2.0 + 4.0 * len(places) + (2.0 if self.lines else 0)
        figure, panels = self.plt.subplots(2, len(places), figsize=(max(width, 6.4), 7.0), squeeze=False,
                                      sharex=True, sharey="row", layout="constrained")
        for number, column in enumerate(places):
            self.draw_times(panels[0][number], column)
            self.draw_rounds(panels[1][number], column)
            title = ", ".join(f"{axis['label']}: {name}" for axis, name in zip(self.columns, column))
            panels[0][number].set_title(title)
            panels[1][number].set_xlabel(self.along["label"])
        panels[0][0].set_ylabel(f"time per page ({self.unit}), median and p99")
        panels[1][0].set_ylabel("flush rounds on other CPUs per page")
        self.scales(panels)
        if self.lines:
            panels[0][-1].legend(title=self.lines["label"], loc="upper left",
                                 bbox_to_anchor=(1.02, 1.0), alignment="left")
        sweep = self.sweep
        figure.suptitle(f"{sweep['sweep']}: {sweep['operation']} of {sweep['scenario']} on "
                        f"{sweep['platform']}", fontsize=12.5)
        return figure

    def places(self, series, line):
        """Above a name the lines stand side by side."""
        shift = 0 if self.is_number else 0.1 * (line - (len(self.line_names) - 1) / 2)
        return [x + shift for x in series.x]

    def draw_times(self, panel, column):
        for index, line in enumerate(self.line_names):
            series, look = self.series[column, line], self.look(index)
            median = series.y(per_page, "p50", self.scale)
            high = series.y(per_page, "p99", self.scale)
            x = self.places(series, index)
            if self.is_number:
                panel.fill_between(x, median, high, color=look["color"], alpha=0.15, linewidth=0)
            else:
                panel.vlines(x, median, high, color=look["color"], alpha=0.5)
            panel.plot(x, median, label=line, **look)

    def draw_rounds(self, panel, column):
        """Lines that are equal would hide each other: they are one line, which says so."""
        lines = {}
        for index, line in enumerate(self.line_names):
            key = tuple(self.series[column, line].y(rounds_per_page))
            lines.setdefault((key, 0 if self.is_number else index), []).append(index)
        for (values, _), indexes in lines.items():
            series = self.series[column, self.line_names[indexes[0]]]
            look = self.look(indexes[0])
            if len(indexes) > 1:
                look.update(color="#444444", marker="o")
                names = [self.line_names[index] for index in indexes]
                look["label"] = "the same for " + ", ".join(names)
            panel.plot(self.places(series, indexes[0]), values, **look)
        if any(len(indexes) > 1 for indexes in lines.values()):
            panel.legend(loc="best")

    def scales(self, panels):
        from matplotlib import ticker
        for measure, scale, row in ((per_page, self.scale, panels[0]),
                                    (rounds_per_page, 1.0, panels[1])):
            values = [value for series in self.series.values()
                      for percentile in ("p50", "p99")
                      for value in series.y(measure, percentile, scale) if value == value]
            if spans_a_decade(values):
                row[0].set_yscale("log")
                row[0].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=20))
                row[0].yaxis.set_minor_locator(ticker.NullLocator())
                row[0].yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:g}"))
            else:
                row[0].set_ylim(0, 1.08 * max(values, default=0) or 1)
        if not self.is_number:
            panels[0][0].set_xlim(-0.5, len(self.number) - 0.5)
        for panel in panels.flat:
            if self.log_x:
                two = all(exponent_of_two(number) for number in self.number)
                panel.set_xscale("log", base=2 if two else 10)
            panel.xaxis.set_major_locator(ticker.FixedLocator(self.number))
            panel.xaxis.set_minor_locator(ticker.NullLocator())
            panel.xaxis.set_major_formatter(ticker.FixedFormatter(self.along["points"]))


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("    ")[0].removeprefix("usage: "),
                                     description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("-o", dest="file", type=pathlib.Path)
    options = parser.parse_args()
    source = options.dir / "sweep.json"
    try:
        sweep = json.loads(source.read_text())
    except OSError as error:
        parser.exit(2, f"plot_sweep.py: {source}: {error.strerror}\n")
    except ValueError as error:
        parser.exit(2, f"plot_sweep.py: {source}: {error}\n")
    files = [options.file] if options.file else [options.dir / "sweep.png", options.dir / "sweep.svg"]
    plt = pictures.load_matplotlib("plot_sweep.py", STYLE)
    for file in files:
        try:
            # Anew for each: the layout still moves with every time that a figure is written.
            figure = Figure(sweep, plt).draw()
        except NothingToDraw as nothing:
            parser.exit(2, f"plot_sweep.py: {source}: {nothing}\n")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            parser.exit(2, f"plot_sweep.py: {source}: of another version of mmusim ({error!r})\n")
        try:
            figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else {})
        except (OSError, ValueError) as error:
            parser.exit(2, f"plot_sweep.py: {file}: {error}\n")
        print(file, file=sys.stderr)


if __name__ == "__main__":
    main()
