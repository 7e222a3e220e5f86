#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: conform_test.py PROGRAM CAPTURES    our kernel against traces of a real one

Every capture conforms, and every way in which one may not is told. Needs only the standard library.
"""
import itertools
import json
import lzma
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
CAPTURES = pathlib.Path()
SIMPLE = "o_munmap_n4_none"
FORKED = "h_move_forkanon_p3_n4"
ALL = "0xffffffffffffffff"
TARGET = 0x100000000000
VMAS = [(0x400000, 0x490000), (0x490000, 0x4c2000), (0x4c2000, 0x503000),
        (TARGET, TARGET + 0x4000), (0x7ffffffde000, 0x7ffffffff000)]
CHILDS_VMAS = 0xffff88803e700000
CHILDS_MM = "0xffff88803d18a940"
GIVEN = ("unmap_page_range", "flush_tlb_batched_pending", "switch_mm_irqs_off")
SMALL = os.environ.get("MMUSIM_TEST_SIZE") == "small"
CORRUPTIONS = 2 if SMALL else 20
EVERY = 5 if SMALL else 1  # of many alike


# What AddressSanitizer says of exceptions on the stacks of SystemC threads, which it does not know.
ASAN_ON_THREADS = re.compile(r"==\d+==WARNING: ASan is ignoring requested __asan_handle_no_return.*\n"
                             r"False positive error reports may follow\n"
                             r"For details see .*\n")


def conform(*arguments):
    done = subprocess.run([PROGRAM, "conform", *map(str, arguments)], capture_output=True, text=True,
                          timeout=900)
    done.stderr = ASAN_ON_THREADS.sub("", done.stderr)
    return done



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
        combinations = itertools.product(
            ("anon", "file", "filepriv", "shmem"),
            ("none", "madvfree_redirty", "mlockonfault", "idleset", "recl_touch"),
            ("none", "free", "punch", "reclaim", "moveall", "clearrefs", "idleread"))
        for kind, prep, op in itertools.islice(combinations, 0, None, EVERY):
            header["scenario"] = f"{kind}-{prep}-{op}"
            header["args"].update(kind=kind, prep=prep, op=op)
            lines = [header, json.loads(self.lines[first]), json.loads(self.lines[end])]
            header["events"] = len(lines) - 1
            self.write([json.dumps(line) + "\n" for line in lines], header["scenario"])
        done = conform(self.folder)
        self.assertEqual((done.returncode, done.stderr), (1, ""), done.stdout)
        self.assertNotIn("broken", done.stdout)
        self.assertTrue(done.stdout.startswith("ok") or "\nok" in done.stdout)

    def exit_of(self, mm, generation, pages):
        """What a child shows when it exits: addresses of the program's, the order of the kernel's."""
        everything = {"mm": mm, "start": "0x0", "end": ALL}
        yield "tlb_gather_mmu", everything
        for n, (start, end) in enumerate(VMAS):
            yield "unmap_page_range", {"vma": f"{CHILDS_VMAS + 0xc0 * n:#x}", "addr": f"{start:#x}",
                                       "end": f"{end:#x}"}
            yield "flush_tlb_batched_pending", {"mm": mm, "batched": "0x0"}
            if start == TARGET:
                for page in pages:
                    yield "page_remove_rmap", {"pfn": page, "compound": 0}
        yield "free_pgtables", {}
        yield "tlb_finish_mmu", everything
        yield "flush_tlb_mm_range", {**everything, "stride": 12, "freed_tables": 1}
        yield "flush_tlb_func", {"reason": 3, **everything, "gen": f"{generation:#x}"}
        yield "tlb_flush", {"reason": "task_switch", "pages": -1}
        yield "flush_tlb_func_ret", {"caller": "flush_tlb_mm_range"}
        yield "flush_tlb_mm_range_ret", {"caller": "arch_tlb_finish_mmu"}
        yield "tlb_finish_mmu_ret", {"caller": "exit_mmap"}

    def write_made_up(self, operation, events, name):
        """The situation of FORKED with another operation. `events`: (cpu, task, name, arguments)"""
        header, *lines = self.forked
        first = next(n for n, line in enumerate(lines) if "OP_BEGIN" in line.get("text", ""))
        header = {**header, "op": operation, "args": {**header["args"], "op": operation}}
        lines = lines[:first]
        marks = [(0, "main", "mark", {"text": f"OP_BEGIN {operation}"})], \
                [(0, "main", "mark", {"text": "OP_END ret=0"})]
        for cpu, task, event, arguments in [*marks[0], *events, *marks[1]]:
            lines.append({"t": lines[-1]["t"] + 1, "cpu": cpu, "task": task, "ev": event, **arguments})
        header["events"] = len(lines)
        return self.write([json.dumps(line, separators=(",", ":")) + "\n"
                           for line in [header, *lines]], name)

    def read_forked(self):
        with lzma.open(CAPTURES / f"{FORKED}.jsonl.xz", "rt") as file:
            self.forked = [json.loads(line) for line in file]
        header = self.forked[0]
        mms = {name: mm for mm, name in header["mms"].items()}
        pages = [page["pfn"] for page in header["pages_before"] if page["proc"] == 1]
        return mms, pages

    def last_generation(self, mm):
        return max(int(line["gen"], 16) for line in self.forked[1:]
                   if line.get("mm") == mm and "gen" in line and line["t"] < self.forked[0]["op_begin_t"])

    def check_made_up(self, operation, events, change):
        right = self.write_made_up(operation, events, "right")
        done = conform(right)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        for at in range(0, len(events), EVERY):
            changed = change(at)
            if changed is not None:
                self.assertEqual(conform(self.write_made_up(operation, changed, "wrong")).returncode, 1,
                                 f"without {events[at]}")

    def test_a_child_exits_as_the_kernel_does(self):
        mms, pages = self.read_forked()
        generation = self.last_generation(mms["p1"]) + 1
        events = [(1, "p1", *event) for event in self.exit_of(mms["p1"], generation, pages)]
        # Extents are given: without one of its VMAs the process had one less.
        self.check_made_up("childexit", events, lambda at: events[:at] + events[at + 1:]
                           if events[at][2] not in GIVEN else None)

    def test_a_forked_child_exits_on_the_cpu_of_its_parent(self):
        mms, pages = self.read_forked()
        child = CHILDS_MM
        main = {"mm": mms["main"], "start": "0x0", "end": ALL}
        generation = f"{self.last_generation(mms['main']) + 1:#x}"
        events = [(0, "main", *event) for event in [
            ("flush_tlb_mm_range", {**main, "stride": 0, "freed_tables": 1}),
            ("flush_tlb_func", {"reason": 3, **main, "gen": generation}),
            ("tlb_flush", {"reason": "local_mm_shootdown", "pages": -1}),
            ("flush_tlb_func_ret", {"caller": "flush_tlb_mm_range"}),
            ("flush_tlb_mm_range_ret", {"caller": "dup_mm"}),
            ("switch_mm_irqs_off", {"prev": mms["main"], "next": child}),
            ("tlb_flush", {"reason": "task_switch", "pages": -1}),
            *self.exit_of(child, 1, pages),
            ("switch_mm_irqs_off", {"prev": child, "next": mms["main"]}),
            ("tlb_flush", {"reason": "task_switch", "pages": -1})]]
        self.check_made_up("fork", events, lambda at: events[:at] + events[at + 1:]
                           if events[at][2] not in GIVEN else None)

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
        chosen = sorted(CAPTURES.iterdir())[::EVERY]
        for capture in chosen:
            (self.folder / capture.name).symlink_to(capture.resolve())
        done = conform(self.folder, "--self-test", "--corruptions", CORRUPTIONS, "--format", "json")
        tests = json.loads(done.stdout)
        self.assertEqual(len(tests), len(chosen))
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
