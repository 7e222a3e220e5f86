#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: conform_test.py PROGRAM CAPTURES    our kernel against traces of a real one

Every capture conforms, and every way in which one may not is told. Needs only the standard library.
"""
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
CAPTURES = pathlib.Path()
SIMPLE = "o_munmap_n4_none"
CORRUPTIONS = 4 if os.environ.get("MMUSIM_TEST_SIZE") == "small" else 20


def conform(*arguments):
    return subprocess.run([PROGRAM, "conform", *map(str, arguments)], capture_output=True, text=True,
                          timeout=900)


class Conform(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        with lzma.open(CAPTURES / f"{SIMPLE}.jsonl.xz", "rt") as file:
            self.lines = file.readlines()

    def write(self, lines=None, name="changed"):
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(lines or self.lines))
        return path

    def line_of(self, event):
        return next(n for n, line in enumerate(self.lines) if f'"ev":"{event}"' in line
                    and n > self.first_of_operation())

    def first_of_operation(self):
        return next(n for n, line in enumerate(self.lines) if "OP_BEGIN" in line)

    def test_every_capture_conforms(self):
        done = conform(CAPTURES, "--format", "json")
        reports = json.loads(done.stdout)
        self.assertEqual([r["scenario"] for r in reports if not r["conforms"]], [], done.stdout)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(reports), len(list(CAPTURES.iterdir())))
        for report in reports:
            self.assertEqual(report["predicted"] + report["ignored"], report["events"])
        predicted, ignored = (sum(r[key] for r in reports) for key in ("predicted", "ignored"))
        self.assertGreater(predicted, 20 * ignored)

    def test_results_are_the_same_bytes_whatever_runs_at_the_same_time(self):
        self.write(name="one")
        self.write(name="two")
        self.assertEqual(conform(self.folder, "--jobs", 1).stdout,
                         conform(self.folder, "--jobs", 7).stdout)

    def test_a_difference_is_shown_with_both_sides(self):
        at = self.line_of("flush_tlb_mm_range")
        self.lines[at] = self.lines[at].replace('"end":"0x100000004000"', '"end":"0x100000003000"')
        path = self.write()
        done = conform(path)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"differs  {SIMPLE}", done.stdout)
        self.assertIn(f"{path}:{at + 1}: CPU 0: end is 0x100000003000, ours 0x100000004000\n",
                      done.stdout)
        self.assertRegex(done.stdout, r"\n  > flush_tlb_mm_range .*  flush_tlb_mm_range ")
        self.assertIn("(the same)", done.stdout)
        self.assertTrue(done.stdout.endswith("0 conform, 1 differ\n"))

    def test_a_page_is_not_freed_twice_in_a_row(self):
        at = self.line_of("mm_page_free")
        self.lines.insert(at, self.lines[at])
        header = json.loads(self.lines[0])
        header["events"] += 1
        self.lines[0] = json.dumps(header) + "\n"
        self.assertEqual(conform(self.write()).returncode, 1)

    def test_generations_continue_those_before_the_operation(self):
        first = self.first_of_operation()
        for n in range(first, len(self.lines)):
            self.lines[n] = self.lines[n].replace('"gen":"0x', '"gen":"0x1')
        self.assertIn("gen is", conform(self.write()).stdout)

    def test_whatever_the_arguments_of_the_program_are_it_is_run(self):
        first = self.first_of_operation()
        end = next(n for n, line in enumerate(self.lines) if "OP_END" in line)
        header = json.loads(self.lines[0])
        for kind in ("anon", "file", "filepriv", "shmem"):
            for prep in ("none", "madvfree_redirty", "mlockonfault", "idleset", "recl_touch"):
                for op in ("none", "free", "punch", "reclaim", "moveall", "clearrefs", "idleread"):
                    header["scenario"] = f"{kind}-{prep}-{op}"
                    header["args"].update(kind=kind, prep=prep, op=op)
                    lines = [header, json.loads(self.lines[first]), json.loads(self.lines[end])]
                    header["events"] = len(lines) - 1
                    self.write([json.dumps(line) + "\n" for line in lines], header["scenario"])
        done = conform(self.folder)
        self.assertEqual((done.returncode, done.stderr), (1, ""), done.stdout)
        self.assertNotIn("broken", done.stdout)
        self.assertTrue(done.stdout.startswith("ok") or "\nok" in done.stdout)

    def test_what_is_not_modelled_is_skipped_and_alone_an_error(self):
        header = self.lines[0].replace('"op":"munmap"', '"op":"softoff"')
        other = self.write([header, *self.lines[1:]])
        done = conform(other)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, f'skipped  {other}:1: args.op = "softoff": not modelled\n'
                         "0 conform, 0 differ, 1 skipped: not modelled\n")
        self.write(name="right")
        done = conform(self.folder)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.endswith("1 conform, 0 differ, 1 skipped: not modelled\n"))

    def test_a_broken_capture_is_one_line_and_exit_code_2(self):
        self.write(name="right")
        cut = self.write(self.lines[:-3], name="cut")
        done = conform(self.folder)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"broken   {cut}:{len(self.lines) - 3}: ends here with ", done.stdout)
        self.assertTrue(done.stdout.endswith("1 conform, 0 differ, 1 broken\n"))

    def test_nearly_every_corruption_is_noticed(self):
        done = conform(CAPTURES, "--self-test", "--corruptions", CORRUPTIONS, "--format", "json")
        tests = json.loads(done.stdout)
        self.assertEqual([t["scenario"] for t in tests if "unusable" in t], [])
        made = sum(t["corruptions"] for t in tests)
        noticed = sum(t["noticed"] for t in tests)
        self.assertGreaterEqual(noticed, 0.99 * made, done.stdout)
        self.assertEqual(done.returncode, 0)

    def test_a_self_test_needs_a_capture_that_conforms(self):
        at = self.line_of("flush_tlb_mm_range")
        done = conform(self.write(self.lines[:at] + self.lines[at + 1:]), "--self-test")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ends here with", done.stdout)
        self.lines[at] = self.lines[at].replace("0x100000004000", "0x100000003000")
        done = conform(self.write(), "--self-test")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.splitlines()[0],
                         f"unusable {SIMPLE}: differs without any corruption")


if __name__ == "__main__":
    PROGRAM, CAPTURES = sys.argv[1], pathlib.Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
