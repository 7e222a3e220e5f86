#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: sweep_test.py PROGRAM CONFIGS    what "mmusim sweep" does with processes and files

Points that are finished stay as they are, everything else is run; results do not depend on how the points
were divided. The figure needs matplotlib (Debian package
python3-matplotlib), everything else only the standard library.
"""
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = ""
CONFIGS = pathlib.Path()
PLOT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "plot_sweep.py"

LISTS = """
[axis.list_size]
key = "kernel.swap_cluster_max"
values = [1, 4, 16]
"""
KINDS = """
[axis.kind.points]
file = ["region.data.kind=file", "region.data.written=false"]
anon = ["region.data.kind=anon", "region.data.written=true"]
"""
CPUS = """
[axis.cpus]
key = "process.main.threads"
values = [0, 1, 3]
"""
# One point that is finished at once, and one that nobody waits for.
ENDLESS = """
[axis.n.points]
quick = []
endless = ["operation.reclaim.rounds=10000000", "operation.reclaim.pause={ns=100000}"]
"""


class Sweep(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "out"

    def sweep(self, axes, common=(), operation="unmap", scenario="reclaim-waiting"):
        settings = json.dumps(["region.data.pages=16", *common])
        path = self.folder / "sweep.toml"
        path.write_text(f"""[sweep]
name = "test"
platform = "{CONFIGS}/platforms/capture-vm.toml"
scenario = "{CONFIGS}/scenarios/{scenario}.toml"
operation = "{operation}"
set = {settings}
{axes}""")
        return str(path)

    def run_sweep(self, path, *arguments, out=None):
        return subprocess.run([PROGRAM, "sweep", path, "--out", str(out or self.out), *arguments],
                              capture_output=True, text=True, timeout=300)

    def start(self, path):
        """A sweep whose quick point is finished and whose endless one is running."""
        process = subprocess.Popen([PROGRAM, "sweep", path, "--out", str(self.out), "--jobs", "2"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 60
        while not (self.point("n=quick").exists() and len(self.children(process)) == 1):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        return process

    @staticmethod
    def children(process):
        listed = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        return [int(child) for child in listed.read_text().split()]

    def point(self, name):
        return self.out / "points" / name / "results.json"

    def rows(self, out=None):
        text = ((out or self.out) / "sweep.csv").read_text()
        return list(csv.DictReader(io.StringIO(text)))

    def times(self, out=None):
        return {file.parent.name: file.stat().st_mtime_ns
                for file in (out or self.out).glob("points/*/results.json")}

    def files(self):
        return sorted(str(file.relative_to(self.out)) for file in self.out.rglob("*")
                      if file.is_file())

    def assert_no_report(self):
        self.assertFalse((self.out / "sweep.csv").exists())
        self.assertFalse((self.out / "sweep.json").exists())
        self.assertFalse(list(self.folder.rglob("*.tmp")))

    def test_rounds_per_page(self):
        """Clean pages of files share a round per list, dirty anonymous ones share none."""
        done = self.run_sweep(self.sweep(LISTS + CPUS + KINDS, operation="shrink_page_list"))
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = self.rows()
        self.assertEqual(len(rows), 18)
        for row in rows:
            pages, size = int(row["pages"]), int(row["list_size"])
            self.assertEqual(pages, 16)
            self.assertEqual(int(row["operations"]), pages // size)
            rounds = pages // size if row["kind"] == "file" else pages
            self.assertEqual(int(row["flush_rounds"]), rounds if row["cpus"] != "0" else 0, row)
            self.assertEqual(float(row["flush_rounds_per_page"]), int(row["flush_rounds"]) / pages)
            self.assertEqual(int(row["counter_ipi_sent"]),
                             int(row["flush_rounds"]) * int(row["cpus"]))
            times = [float(row[name]) for name in ("p50_ns", "p90_ns", "p99_ns", "max_ns")]
            self.assertEqual(times, sorted(times))
            parts = [round(1000 * float(value)) for name, value in row.items()
                     if name.startswith("part_")]
            self.assertEqual(sum(parts), round(1000 * float(row["sum_ns"])))

    def test_a_point_is_the_run_with_its_settings(self):
        done = self.run_sweep(self.sweep(LISTS + KINDS), "--seed", "3")
        self.assertEqual(done.returncode, 0, done.stderr)
        run = subprocess.run(
            [PROGRAM, "run", str(CONFIGS / "platforms/capture-vm.toml"),
             str(CONFIGS / "scenarios/reclaim-waiting.toml"), "--seed", "3", "--format", "json",
             "--set", "region.data.pages=16", "--set", "kernel.swap_cluster_max=4",
             "--set", "region.data.kind=file", "--set", "region.data.written=false"],
            capture_output=True, text=True, timeout=300)
        self.assertEqual(self.point("list_size=4,kind=file").read_text(), run.stdout)

    def test_results_do_not_depend_on_jobs_and_shards(self):
        path = self.sweep(LISTS + KINDS)
        reports = []
        for jobs in ("1", "3"):
            out = self.folder / f"jobs{jobs}"
            done = self.run_sweep(path, "--jobs", jobs, out=out)
            self.assertEqual(done.returncode, 0, done.stderr)
            reports.append([done.stdout, (out / "sweep.csv").read_bytes(),
                            (out / "sweep.json").read_bytes()])
        for shard, points in (("1/2", 3), ("2/2", 6)):
            done = self.run_sweep(path, "--shard", shard)
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
            self.assertEqual(len(self.times()), points)
            self.assert_no_report()
        before = self.times()
        done = self.run_sweep(path)
        self.assertEqual(self.times(), before)
        reports.append([done.stdout, (self.out / "sweep.csv").read_bytes(),
                        (self.out / "sweep.json").read_bytes()])
        self.assertEqual(reports[0], reports[1])
        self.assertEqual(reports[0], reports[2])

    def test_finished_points_are_not_run_again(self):
        path = self.sweep(LISTS)
        self.assertEqual(self.run_sweep(path).returncode, 0)
        first = self.times()
        report = (self.out / "sweep.csv").read_bytes()
        self.assertEqual(self.run_sweep(path).returncode, 0)
        self.assertEqual(self.times(), first)
        # Half a file, and one of other values.
        half = self.point("list_size=4")
        half.write_bytes(half.read_bytes()[:-3])
        other = self.point("list_size=16")
        other.write_bytes(self.point("list_size=1").read_bytes())
        self.assertEqual(self.run_sweep(path).returncode, 0)
        second = self.times()
        self.assertEqual(second["list_size=1"], first["list_size=1"])
        self.assertGreater(second["list_size=4"], first["list_size=4"])
        self.assertGreater(second["list_size=16"], first["list_size=16"])
        self.assertEqual((self.out / "sweep.csv").read_bytes(), report)
        # A longer axis runs only what is new; another seed runs everything.
        path = self.sweep(LISTS.replace("[1, 4", "[1, 2, 4"))
        self.assertEqual(self.run_sweep(path).returncode, 0)
        third = self.times()
        self.assertEqual({name: third[name] for name in second}, second)
        self.assertEqual(len(third), 4)
        self.assertEqual(self.run_sweep(path, "--seed", "2").returncode, 0)
        self.assertTrue(all(time > third[name] for name, time in self.times().items()))

    def test_an_interrupt_leaves_what_is_finished(self):
        path = self.sweep(ENDLESS)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start(path)
            before = self.times()
            child, = self.children(process)
            # As if it had been killed while it wrote.
            (self.point("n=endless").parent / f"results.json.{child}.tmp").write_text("{")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130, err)
            self.assertEqual(out, "")
            self.assertRegex(err, r"^mmusim: stopped: 1 of [12] points have no result; "
                             r"the same command runs them again\n$")
            self.assertFalse(os.path.exists(f"/proc/{child}"))
            self.assertEqual(self.times(), before)
            self.assertEqual(list(before), ["n=quick"])
            self.assert_no_report()

    def test_a_point_that_is_interrupted_is_run_again(self):
        for _ in range(2):
            process = self.start(self.sweep(ENDLESS))
            os.kill(*self.children(process), signal.SIGINT)
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out), (130, ""))
            self.assertRegex(err, r"^mmusim: stopped: 1 of [12] points have no result; [^\n]*\n$")
            self.assertTrue(json.loads(self.point("n=endless").read_text())["stopped"])
            self.assert_no_report()

    def test_an_interrupt_from_the_terminal_reaches_the_points_too(self):
        process = self.start(self.sweep(ENDLESS))
        before = self.times()["n=quick"]
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (130, ""))
        self.assertEqual(err, "mmusim: stopped: 1 of 2 points have no result; "
                         "the same command runs them again\n")
        self.assertEqual(self.times()["n=quick"], before)
        self.assert_no_report()

    def test_a_killed_point_is_run_again(self):
        process = self.start(self.sweep(ENDLESS))
        before = self.times()
        os.kill(*self.children(process), signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3)
        self.assertEqual(out, "")
        self.assertEqual(err, "mmusim: point n=endless: ended by signal 9\n"
                         "mmusim: 1 of 2 points have no result; the same command runs them again\n")
        self.assert_no_report()
        done = self.run_sweep(self.sweep(ENDLESS.replace("10000000", "2")))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 points run in ", done.stderr)
        after = self.times()
        self.assertEqual(after["n=quick"], before["n=quick"])
        self.assertEqual(len(after), 2)

    def test_a_point_that_fails_is_named(self):
        small = 'key = "topology.memory_mib_per_node"\nvalues = [1, 64]\n'
        done = self.run_sweep(self.sweep("[axis.memory]\n" + small))
        self.assertEqual(done.returncode, 2)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r"^mmusim: point memory=1: topology\.memory_mib_per_node is too small")
        self.assertEqual(list(self.times()), ["memory=64"])
        self.assert_no_report()

    def test_a_violation_is_exit_code_1_and_stays_so(self):
        path = self.sweep('[axis.fault]\nkey = "inject.fault"\n'
                          'values = ["none", "free-before-flush"]\n',
                          ["region.data.kind=file", "region.data.written=false",
                           "process.main.pattern=uniform"])
        for _ in range(2):
            done = self.run_sweep(path)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, r"mmusim: point fault=free-before-flush: the oracle found "
                             r"\d+ violations?\n")
            self.assertIn("UNSAFE: 1 of 2 points", done.stdout)

    def test_hazards_count_when_they_are_asked_to(self):
        path = self.sweep('[axis.kind.points]\nreclaim = []\nmove = ["operation.reclaim.cpu=1", '
                          '"operation.reclaim.type=move_pages", "operation.reclaim.to_node=1"]\n')
        done = self.run_sweep(path)
        self.assertEqual(done.returncode, 0, done.stderr)
        # The points are finished, and are judged anew.
        done = self.run_sweep(path, "--strict-hazards")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("mmusim: point kind=move: hazards of the kernel itself: HZ14\n",
                      done.stderr)
        self.assertNotIn("point kind=reclaim:", done.stderr)

    def test_an_old_report_goes_with_its_points(self):
        self.assertEqual(self.run_sweep(self.sweep(LISTS)).returncode, 0)
        self.assertEqual(self.run_sweep(self.sweep(LISTS), "--shard", "1/2",
                                        "--seed", "9").returncode, 0)
        self.assert_no_report()

    def test_outputs(self):
        path = self.sweep(LISTS)
        done = self.run_sweep(path, "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, (self.out / "sweep.json").read_text())
        self.assertEqual(self.files(), [f"points/list_size={n}/results.json" for n in (1, 16, 4)] +
                         ["sweep.csv", "sweep.json"])
        lines = done.stderr.splitlines()
        self.assertEqual(lines[1:3], [str(self.out / "sweep.csv"), str(self.out / "sweep.json")])
        self.assertRegex(lines[3], rf"^for a figure: .*plot_sweep\.py {self.out}$")
        self.assertEqual(len(lines), 4)
        self.assertNotIn("for a figure", self.run_sweep(path, "--no-figure").stderr)
        quiet = self.run_sweep(path, "--quiet")
        self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, "", ""))
        self.assertNotIn(str(CONFIGS), done.stdout)

    def test_a_program_draws(self):
        path = self.sweep(LISTS)
        painter = self.folder / "painter"
        painter.write_text('#!/bin/sh\ntest -s "$1/sweep.json" || exit 1\ncp "$1/sweep.csv" "$1/drawn"\n'
                           "echo drawn >&2\n")
        painter.chmod(0o755)
        done = self.run_sweep(path, "--figure", str(painter))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.out / "drawn").read_bytes(), (self.out / "sweep.csv").read_bytes())
        self.assertTrue(done.stderr.endswith("drawn\n"))
        painter.write_text("#!/bin/sh\necho no colour left >&2\nexit 1\n")
        done = self.run_sweep(path, "--figure", str(painter), "--quiet")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, f"mmusim: no figure: {painter}: no colour left\n")

    def test_the_figure_has_every_axis_and_stays_the_same(self):
        axes = LISTS.replace("key", 'label = "pages per list"\nkey')
        self.run_sweep(self.sweep(axes + CPUS + KINDS, operation="shrink_page_list"))
        drawn = subprocess.run([PLOT, self.out], capture_output=True, text=True, timeout=120)
        self.assertEqual(drawn.returncode, 0, drawn.stderr)
        self.assertEqual(drawn.stderr, f"{self.out}/sweep.png\n{self.out}/sweep.svg\n")
        self.assertTrue((self.out / "sweep.png").read_bytes().startswith(b"\x89PNG"))
        first = (self.out / "sweep.svg").read_text()
        # Text is drawn as outlines, with a comment that says what it is.
        for label in ("pages per list", "cpus", "kind: file", "kind: anon", "the same for 1, 3",
                      "test: shrink_page_list of reclaim-waiting on capture-vm",
                      "time per page (µs), median and p99", "flush rounds on other CPUs per page"):
            self.assertIn(f"<!-- {label} -->", first)
        again = self.folder / "again.svg"
        subprocess.run([PLOT, self.out, "-o", again], check=True, capture_output=True, timeout=120)
        self.assertEqual(again.read_text(), first)

    def test_there_is_no_figure_of_nothing(self):
        drawn = subprocess.run([PLOT, self.out], capture_output=True, text=True, timeout=120)
        self.assertEqual(drawn.returncode, 2)
        self.assertEqual(drawn.stderr, f"plot_sweep.py: {self.out}/sweep.json: No such file or "
                         "directory\n")

    def test_a_figure_of_another_sweep_json_is_one_line(self):
        self.out.mkdir()
        for content, message in (('{"operation": "unmap"}', "of another version of mmusim (KeyError('axes'))"),
                                 ("{", "Expecting property name enclosed in double quotes: line 1 column "
                                  "2 (char 1)")):
            (self.out / "sweep.json").write_text(content)
            drawn = subprocess.run([PLOT, self.out], capture_output=True, text=True, timeout=120)
            self.assertEqual(drawn.returncode, 2)
            self.assertEqual(drawn.stderr, f"plot_sweep.py: {self.out}/sweep.json: {message}\n")

    def test_an_operation_that_never_happens_is_not_reported(self):
        path = self.sweep(LISTS, operation="oom_reap")
        done = self.run_sweep(path, "--quiet")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, f"mmusim: {path}:5:13: 'sweep.operation' is 'oom_reap', which no "
                         "point finished; valid are 'reclaim', 'shrink_page_list', 'unmap'\n")
        self.assert_no_report()

    def test_wrong_sweeps_are_one_line_and_leave_nothing(self):
        by_key = '[axis.a]\nkey = "{}"\nvalues = {}\n'
        wrong = {
            by_key.format("kernel.swap_cluster_mxa", "[1]"):
                "8:15: unknown key 'kernel.swap_cluster_mxa'; nearest is 'swap_cluster_max'; in point "
                "a=1",
            by_key.format("kernel.swap_cluster_max", "[1, 0]"):
                "9:14: 'kernel.swap_cluster_max' is 0; expected a whole number from 1 to 65536 (pages "
                "of one reclaim batch); in point a=0",
            by_key.format("kernel.swap_cluster_max", "[]"):
                "9:10: 'axis.a.values' is empty; expected an array of strings, numbers, or true and "
                "false (of the key)",
            by_key.format("kernel.pcid", "[true]") + "[axis.a]\n":
                "10:1: not valid TOML: Error while parsing table header: cannot redefine existing "
                "table 'axis.a'",
            "[axis.a.points]\nx = []\ny = ['region.dta.pages=1']\n":
                "9:14: no region is called 'dta'; nearest is 'data'; in point a=y",
        }
        for axes, message in wrong.items():
            path = self.sweep(axes)
            done = self.run_sweep(path)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stderr, f"mmusim: {path}:{message}\n")
        path = self.sweep(LISTS, operation="unmpa")
        self.assertEqual(self.run_sweep(path).stderr,
                         f"mmusim: {path}:5:13: 'sweep.operation' is 'unmpa', which is not known; "
                         "nearest is 'unmap'\n")
        path = self.sweep(LISTS, scenario="reclaim-wating")
        self.assertEqual(self.run_sweep(path).stderr,
                         f"mmusim: {path}:4:12: cannot open '{CONFIGS}/scenarios/reclaim-wating.toml': "
                         "No such file or directory; nearest is 'reclaim-waiting.toml'\n")
        done = self.run_sweep(self.sweep(LISTS), "--set", "kernel.swap_cluster_max=2")
        self.assertEqual(done.stderr, "mmusim: --set:1:1: both --set and axis 'list_size' set "
                         "'kernel.swap_cluster_max'; expected one of them\n")
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    PROGRAM, CONFIGS = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
