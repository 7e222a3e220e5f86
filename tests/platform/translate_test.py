#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: translate_test.py PROGRAM    mmusim translate and mmusim convert as processes

Exit codes, one-line errors, streams, files that are complete. Needs only the standard library.
"""
import gzip
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
# A program's own output is in between, as with 2>&1.
LACKEY = ("==7== Lackey, an example Valgrind tool\n"
          + "".join(f"I  {0x401000 + 4 * n:08x},4\n L 1ffe{n % 64:03x}ffc,8\n" for n in range(5000))
          + "a file\n S 1ffe000010,8\n M 1ffe000010,4\n==7== Counted 1 call to main()\n")
REFERENCES = 10_002


def mmusim(*arguments, **options):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, **options)


def translate(*arguments, platform="skylake-sp-2s", **options):
    return mmusim("translate", platform, *arguments, **options)


class Translate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.text = self.folder / "t.lackey"
        self.text.write_text(LACKEY)

    def assert_user_error(self, done, line):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stderr, f"mmusim: {line}\n")
        self.assertEqual(done.stdout, "")

    def convert(self, source, name, *more):
        done = mmusim("convert", source, self.folder / name, *more)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        return self.folder / name

    def results(self, *arguments, **options):
        done = translate(*arguments, "--format", "json", "--quiet", **options)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        done = translate(*arguments, "--format", "json", **options)
        return json.loads(done.stdout)

    # ---- formats ----

    def test_every_format_gives_the_same_results(self):
        expected = self.results("--trace", self.text)
        self.assertEqual(expected.pop("trace"), {"file": "t.lackey", "format": "lackey",
                                                 "skipped_lines": 3, "skipped_references": 0})
        self.assertEqual(expected["references"]["all"], REFERENCES)
        for name in ("t.mmt", "t.mmt.gz", "u.lackey", "u.lackey.gz"):
            with self.subTest(name):
                file = self.convert(self.text, name)
                found = self.results("--trace", file)
                self.assertEqual(found.pop("trace")["format"],
                                 "binary" if ".mmt" in name else "lackey")
                self.assertEqual(found, expected)
                self.assertEqual(file.read_bytes()[:2] == b"\x1f\x8b", name.endswith(".gz"))
        self.assertEqual(gzip.decompress((self.folder / "t.mmt.gz").read_bytes()),
                         (self.folder / "t.mmt").read_bytes())

    def test_there_and_back_is_the_same_bytes(self):
        back = self.convert(self.convert(self.text, "a.mmt"), "b.lackey")
        lines = [line for line in LACKEY.splitlines(True) if line[:3] in ("I  ", " L ", " S ", " M ")]
        self.assertEqual(back.read_text(), "".join(lines))
        self.assertEqual(self.convert(back, "c", "--to", "binary").read_bytes(),
                         (self.folder / "a.mmt").read_bytes())

    def test_standard_input_is_a_trace_like_any_other(self):
        done = translate("--trace", "-", input=LACKEY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("standard input on skylake-sp-2s\n"), done.stdout)
        self.assertRegex(done.stdout, r"\n  lines +3    of the trace are no references\n")
        self.assertRegex(done.stdout, r"\n  instructions +5,000 +50\.0 %\n")
        self.assertRegex(done.stderr, r"\A10,002 references in [0-9.]+ s, [0-9.]+ million per s\n\Z")
        done = subprocess.run([PROGRAM, "convert", "-", self.folder / "s.mmt"], input=LACKEY,
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr),
                         (0, "10,002 references, 3 lines skipped\n"))

    @unittest.skipUnless(os.path.exists("/usr/bin/valgrind"), "valgrind is not installed")
    def test_lackey_works_as_typed(self):
        command = (f"valgrind --tool=lackey --trace-mem=yes ls {self.folder} 2>&1 | "
                   f"{PROGRAM} translate skylake-sp-2s --trace - --format json")
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertGreater(found["instructions"], 100_000)
        self.assertLess(found["trace"]["skipped_lines"], 60)

    # ---- results ----

    def test_numbers_agree_with_each_other(self):
        found = self.results("--trace", self.text, "--out", self.folder / "out")
        self.assertEqual(json.loads((self.folder / "out" / "translate.json").read_text()), found)
        references = found["references"]
        self.assertEqual(sum(references[kind] for kind in ("fetch", "load", "store", "modify")),
                         references["all"])
        self.assertEqual(references["straddling"], 64 * 78 + 8)
        translations = references["all"] + references["straddling"]
        tlbs = {tlb["name"]: tlb for tlb in found["tlbs"]}
        for tlb in tlbs.values():
            for key in ("lookups", "hits", "misses"):
                self.assertEqual(tlb[key], sum(tlb[kind][key] for kind in ("fetch", "read", "write")))
            self.assertEqual(tlb["lookups"], tlb["hits"] + tlb["misses"])
            self.assertEqual(tlb["mpki"], 1000 * tlb["misses"] / found["instructions"])
        self.assertEqual(tlbs["itlb"]["lookups"] + tlbs["dtlb"]["lookups"], translations)
        self.assertEqual(tlbs["stlb"]["lookups"], tlbs["itlb"]["misses"] + tlbs["dtlb"]["misses"])
        self.assertEqual(found["walks"]["count"], tlbs["stlb"]["misses"])
        latency = found["latency_ns"]
        self.assertEqual(latency["count"], translations)
        self.assertEqual(sum(bucket["count"] for bucket in latency["buckets"]), translations)
        self.assertAlmostEqual(sum(b["ns"] * b["count"] for b in latency["buckets"]), latency["sum"], 3)
        self.assertEqual(found["oracle"]["checked"], translations)

    def test_straddling_is_counted_as_asked_for(self):
        found = self.results("--trace", self.text, "--straddle", "cachegrind")
        tlbs = {tlb["name"]: tlb for tlb in found["tlbs"]}
        self.assertEqual(tlbs["dtlb"]["read"]["lookups"], 5001)
        self.assertEqual(tlbs["dtlb"]["write"]["lookups"], 1)

    def test_grants_change_nothing(self):
        for straddle in ("mmu", "cachegrind"):
            found = [self.results("--trace", self.text, "--straddle", straddle, "--dmi", dmi)
                     for dmi in ("on", "off")]
            self.assertEqual(found[0], found[1])

    def test_pages_can_be_large(self):
        found = self.results("--trace", self.text, "--page-size", "2M")
        self.assertEqual(found["pages"]["size"], "2M")
        self.assertEqual(found["pages"]["touched"], 2)
        # Three levels of the first page; its PDPT is known when the second is walked for.
        self.assertEqual(found["walks"]["reads_per_walk"], (3 + 2) / 2)

    def test_skip_and_limit_choose_references(self):
        found = self.results("--trace", self.text, "--skip", 10_000, "--limit", 1)
        self.assertEqual(found["references"]["store"], 1)
        self.assertEqual(found["references"]["all"], 1)
        self.assertIsNone(found["tlbs"][0]["mpki"])

    # ---- mistakes ----

    def test_wrong_command_lines(self):
        self.assert_user_error(translate(), "--trace is missing; it names a file, or - for stdin")
        self.assert_user_error(translate("--trace", "x.mmt"),
                               "x.mmt: cannot open: No such file or directory")
        self.assert_user_error(translate("--trace", "-", platform="labtop"),
                               "no platform is called 'labtop'; nearest is 'laptop'")
        self.assert_user_error(translate("--trace", self.text, "--straddle", "mnu"),
                               "--straddle is 'mnu'; nearest is 'mmu'")
        self.assert_user_error(translate("--trace", self.text, "--page-size", "5K"),
                               "--page-size is '5K'; expected a size such as 4K, 64K, 2M or 1G")
        self.assert_user_error(
            translate("--trace", self.text, "--limit", 0),
            "--limit is '0'; expected a whole number from 1 to 18446744073709551615")

    def test_a_trace_with_a_mistake_says_where(self):
        bad = self.folder / "bad.lackey"
        bad.write_text(LACKEY + " L 10,0\n")
        line = LACKEY.count("\n") + 1
        self.assert_user_error(translate("--trace", bad),
                               f"{bad}:{line}: a reference of 0 bytes; expected 1 to 65535")
        whole = self.convert(self.text, "t.mmt").read_bytes()
        bad.write_bytes(whole[:-3])
        self.assert_user_error(translate("--trace", bad),
                               f"{bad}: offset {len(whole) - 3}: the trace ends in its end")
        bad.write_text(" L f000000000000000,8\n")
        done = translate("--trace", bad)
        self.assertEqual(done.returncode, 2)
        self.assertIn("does not translate", done.stderr)

    def test_what_cannot_be_converted_leaves_no_file(self):
        out = self.folder / "out.mmt"
        out.write_text("old")
        bad = self.folder / "bad.lackey"
        bad.write_text(LACKEY + " L 10,0\n")
        for arguments, line in (
                ((bad, out), f"{bad}:{LACKEY.count(chr(10)) + 1}: a reference of 0 bytes; expected 1 to 65535"),
                ((self.text, self.folder / "x.txt"), f"{self.folder}/x.txt: no format is named like "
                 "that; expected .mmt or .lackey, or --to"),
                ((self.text, out, "--to", "binray"), "--to is 'binray'; nearest is 'binary'"),
                ((self.text, self.text), f"{self.text}: cannot write: it is what is read"),
                ((self.text, "/nonexistent/x.mmt"),
                 "/nonexistent/x.mmt: cannot write: No such file or directory"),
                ((self.text, "/dev/null", "--to", "binary"),
                 "/dev/null: cannot write: not a regular file")):
            self.assert_user_error(mmusim("convert", *arguments), line)
        self.assertEqual(out.read_text(), "old")
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()),
                         ["bad.lackey", "out.mmt", "t.lackey"])

    # ---- Ctrl-C ----

    def interrupted(self, *arguments):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            process.stdin.write(LACKEY)
            process.stdin.flush()
            # Where the kernel tells, it waits for more when it sleeps in a pipe.
            waits_in = pathlib.Path(f"/proc/{process.pid}/wchan")
            for _ in range(40):
                time.sleep(0.05)
                if "pipe" in waits_in.read_text():
                    break
            process.send_signal(signal.SIGINT)
            out, errors = process.stdout.read(), process.stderr.read()
            return process.wait(timeout=60), out, errors

    def test_an_interrupt_prints_what_there_is(self):
        code, out, errors = self.interrupted("translate", "skylake-sp-2s", "--trace", "-", "--format",
                                             "json")
        self.assertEqual(code, 130, errors)
        found = json.loads(out)
        self.assertTrue(found["stopped"])
        self.assertGreater(found["references"]["all"], 0)
        self.assertLessEqual(found["references"]["all"], REFERENCES)

    def test_an_interrupted_conversion_leaves_no_file(self):
        code, out, _ = self.interrupted("convert", "-", self.folder / "x.mmt")
        self.assertEqual((code, out), (130, ""))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["t.lackey"])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
