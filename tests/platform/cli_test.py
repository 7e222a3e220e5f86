#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: cli_test.py PROGRAM CONFIGS    what the built program does as a process

Exit codes, one-line errors, clean stdout, files that are complete. Needs only the standard library.
"""
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
SMALL = os.environ.get("MMUSIM_TEST_SIZE") == "small"
QUICK = ["--set", "region.buffer.pages=4", "--set", "operation.munmap.rounds=2"]


def mmusim(*arguments, **environment):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=300,
                          env={**os.environ, **environment})


class Program(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, content):
        path = self.folder / name
        path.write_text(content)
        return str(path)

    def platform(self, content):
        base = CONFIGS / "platforms" / "capture-vm.toml"
        return self.write("p.toml", f'extends = "{base}"\n{content}')

    def assert_user_error(self, done, line):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stderr, f"mmusim: {line}\n")
        self.assertEqual(done.stdout, "")

    def test_five_kinds_of_wrong_configuration(self):
        def run(platform):
            out = self.folder / "out"
            done = mmusim("run", platform, "munmap", "--out", str(out))
            self.assertFalse(out.exists())
            return done

        wrong = self.platform("[coherence]\nsame_soket = { ns = 1 }\n")
        self.assert_user_error(
            run(wrong), f"{wrong}:3:1: unknown key 'coherence.same_soket'; nearest is 'same_socket'")
        wrong = self.platform('[topology]\nfrom = "assumed: x"\nsockets = "two"\n')
        self.assert_user_error(
            run(wrong), f"{wrong}:4:11: 'topology.sockets' is a string; expected a whole number from "
            "1 to 64 (sockets, each one a NUMA node)")
        wrong = self.platform('[topology]\nfrom = "assumed: x"\nsockets = 0\n')
        self.assert_user_error(
            run(wrong), f"{wrong}:4:11: 'topology.sockets' is 0; expected a whole number from 1 to 64 "
            "(sockets, each one a NUMA node)")
        self.write("part.toml", "")
        wrong = self.write("p.toml", 'extends = "prat.toml"\n')
        self.assert_user_error(
            run(wrong), f"{wrong}:1:11: cannot open 'prat.toml': No such file or directory; nearest "
            "is 'part.toml'")
        other = self.write("q.toml", 'extends = "p.toml"\n')
        wrong = self.write("p.toml", 'extends = "q.toml"\n')
        self.assert_user_error(
            run(wrong), f"{other}:1:11: 'extends' goes in a circle: p.toml -> q.toml -> p.toml")

    def test_every_shipped_scenario_is_safe_and_repeats_itself(self):
        regions = {"reclaim-anon": "heap", "reclaim-file": "library", "migrate": "heap"}
        for scenario in (*regions, "munmap"):
            size = ["--set", f"region.{regions[scenario]}.pages=128"] \
                if SMALL and scenario in regions else []
            runs = []
            for quantum in ("auto", "auto", "1ns"):
                out = self.folder / f"{scenario}-{len(runs)}"
                done = mmusim("run", "capture-vm", scenario, "--out", str(out), "--events",
                              "events.jsonl", "--quantum", quantum, "--quiet", *size)
                self.assertEqual(done.returncode, 0, done.stderr)
                runs.append([(out / name).read_bytes()
                             for name in ("results.json", "events.jsonl")])
            self.assertEqual(runs[0], runs[1], scenario)
            self.assertEqual(runs[0], runs[2], scenario)

    def test_each_injected_fault_is_named(self):
        faults = {"skip-batch-flush": "reclaim-anon", "free-before-flush": "reclaim-file",
                  "drop-ipi-target": "reclaim-anon", "shrink-range": "migrate",
                  "ack-before-handler": "migrate"}
        for fault, scenario in faults.items():
            done = mmusim("run", "capture-vm", scenario, "--format", "json",
                          "--set", f"inject.fault={fault}")
            self.assertEqual(done.returncode, 1, fault)
            violations = json.loads(done.stdout)["oracle"]["violations"]
            named = [v for v in violations if v["agent"].startswith("core")
                     and "pfn 0x" in v["translation"] and v["operation"] and v["missing"]
                     and v["window_ns"] > 0]
            self.assertTrue(named, fault)

    def test_wrong_command_lines(self):
        self.assert_user_error(mmusim("rnu"), "unknown command 'rnu'; nearest is 'run'")
        self.assert_user_error(mmusim("run", "laptop", "munmap", "--sede", "1"),
                               "unknown option '--sede'; nearest is '--seed'")
        self.assert_user_error(mmusim("run", "labtop", "munmap"),
                               "no platform is called 'labtop'; nearest is 'laptop'")

    def test_a_platform_that_only_translates_runs_no_scenario(self):
        file = CONFIGS / "platforms" / "neoverse-n1-1s.toml"
        for platform in ("neoverse-n1-1s", str(file)):
            done = mmusim("run", platform, "munmap", "--out", str(self.folder / "out"))
            self.assert_user_error(done, f"{file}: neoverse-n1-1s is a machine for 'mmusim translate' "
                                   "only: it has no [flush] mechanism that a scenario could run with")
        self.assertFalse((self.folder / "out").exists())

    def test_help_and_version_are_alone_on_stdout(self):
        version = mmusim("--version")
        self.assertRegex(version.stdout, r"\Ammusim \d+\.\d+\.\d+\n\Z")
        self.assertEqual((version.returncode, version.stderr), (0, ""))
        for arguments in (["--help"], ["run", "--help"], ["config", "--help"], ["list", "--help"]):
            done = mmusim(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("Examples:", done.stdout)

    def test_run_prints_a_report_and_nothing_else(self):
        done = mmusim("run", "capture-vm", "munmap", *QUICK)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("munmap on capture-vm\n"), done.stdout)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"\A[^\n]* simulated in [^\n]*\n\Z")

    def test_results_are_the_same_bytes_every_time(self):
        def run(name, *more):
            out = self.folder / name
            done = mmusim("run", "capture-vm", "munmap", *QUICK, "--out", str(out), "--events",
                          "events.jsonl", "--quiet", *more)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            self.assertEqual(sorted(p.name for p in out.iterdir()), ["events.jsonl", "results.json"])
            return [(out / file).read_bytes() for file in ("results.json", "events.jsonl")]

        first = run("a")
        self.assertEqual(first, run("b"))
        self.assertEqual(first, run("c", "--quantum", "1ns"))
        self.assertIn("munmap", [o["name"] for o in json.loads(first[0])["operations"]])

    def test_what_tlbs_grant_changes_no_byte(self):
        def run(name, platform, scenario, dmi):
            out = self.folder / f"{scenario}-{name}"
            done = mmusim("run", platform, scenario, "--out", str(out), "--events", "events.jsonl",
                          "--quiet", "--dmi", dmi)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return [(out / file).read_bytes() for file in ("results.json", "events.jsonl")]

        for platform, scenario in (("skylake-sp-2s", "everything"), ("milan-1s", "reclaim-file"),
                                   ("skylake-sp-2s", "guest-reclaim"),
                                   ("laptop", "madvise-dontneed")):
            with self.subTest(scenario=scenario):
                self.assertEqual(run("on", platform, scenario, "on"),
                                 run("off", platform, scenario, "off"))
        done = mmusim("run", "laptop", "munmap", "--dmi", "offf")
        self.assertEqual((done.returncode, done.stderr),
                         (2, "mmusim: --dmi is 'offf'; nearest is 'off'\n"))

    def test_timeline_is_sound_and_the_same_bytes_for_every_quantum(self):
        def run(name, *more):
            out = self.folder / name
            done = mmusim("run", "skylake-sp-2s", "migrate", "--set", "operation.migrate.rounds=1",
                          "--out", str(out), "--timeline", "timeline.json", "--quiet", *more)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            return (out / "timeline.json").read_bytes()

        first = run("a")
        self.assertEqual(first, run("b"))
        self.assertEqual(first, run("c", "--quantum", "1ns"))
        self.assertEqual(first, run("d", "--events", "events.jsonl", "--no-oracle"))

        events = json.loads(first)
        flows, depth, times, named = {}, {}, {}, set()
        for event in events:
            thread = event["tid"]
            if event["ph"] == "M":
                named |= {thread} if event["name"] == "thread_name" else set()
            elif event["ph"] in "sf":
                flows.setdefault(event["id"], []).append(event)
            else:
                self.assertIn(thread, named)
                self.assertGreaterEqual(event["ts"], times.get(thread, 0))
                times[thread] = event["ts"]
                depth[thread] = depth.get(thread, 0) + (event["ph"] == "B") - (event["ph"] == "E")
                self.assertGreaterEqual(depth[thread], 0)
        self.assertEqual(set(depth.values()), {0})
        self.assertEqual({len(ends) for ends in flows.values()}, {2})
        self.assertEqual({start["ph"] + finish["ph"] for start, finish in flows.values()}, {"sf"})
        for start, finish in flows.values():
            self.assertLess(start["ts"], finish["ts"])
            self.assertNotEqual(start["tid"], finish["tid"])
        sent = sum(e.get("name") == "ipi_send" for e in events)
        handled = sum(e.get("name", "").startswith("call_function_") and e["name"].endswith("_entry")
                      for e in events)
        arrows = [start["name"] for start, _ in flows.values()]
        self.assertGreater(sent, 0)
        self.assertEqual(arrows.count("interrupt"), handled)
        self.assertEqual(arrows.count("acknowledgement"), handled)

    def counters_and_log(self, scenario, *more):
        out = self.folder / "logged"
        done = mmusim("run", "skylake-sp-2s", scenario, "--out", str(out), "--events",
                      "events.jsonl", "--quiet", *more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = (out / "events.jsonl").read_text().splitlines()
        return (json.loads((out / "results.json").read_text())["counters"],
                [json.loads(line) for line in lines[1:]])

    def test_counters_agree_with_the_events_of_the_log(self):
        both = {"notifier_start": "mn_range_start", "notifier_end": "mn_range_end"}
        guest = {**both, "vm_exits": "kvm_exit", "kvm_faults": "kvm_tdp_page_fault",
                 "kvm_fault_retries": "mmu_notifier_retry", "kvm_tlb_flush": "kvm_vcpu_flush_tlb",
                 "spte_set": "spte_set", "spte_cleared": "spte_clear"}
        dma = {**both, "dma_faults": "dma_fault", "iommu_commands": "iommu_descriptor"}
        few = ["--set", "operation.munmap.rounds=5"]
        for scenario, events, *more in (
                ("guest-migrate", guest),
                ("svm-munmap", {**dma, "atc_invalidations": "atc_invalidated"}, *few),
                # Accesses that are not translated before leave a fault of the IOMMU as well.
                ("svm-munmap", {**dma, "iommu_faults": "iommu_fault"}, *few, "--set",
                 "device.nic0.ats=false")):
            counters, log = self.counters_and_log(scenario, *more)
            for counter, event in events.items():
                with self.subTest(scenario=scenario, more=more, counter=counter):
                    logged = sum(line["ev"] == event for line in log)
                    self.assertGreater(logged, 0)
                    self.assertEqual(counters[counter], logged)

    def test_a_log_begins_with_the_clients_of_each_address_space(self):
        base = CONFIGS / "scenarios" / "everything.toml"
        scenario = self.write("s.toml", f'extends = "{base}"\n[process.other]\nthreads = 0\n'
                              'notifier = "recorder"\naccess = { ns = 20 }\n')
        _, log = self.counters_and_log(scenario)
        # The recorder of one process, then the guest and the device of the other.
        self.assertEqual([line["ev"] for line in log].count("mn_register"), 3)
        self.assertEqual([line["ev"] for line in log[:3]], ["mn_register"] * 3)
        self.assertEqual([(line["t"], line["client"]) for line in log[:3]], [(0, 0), (0, 1), (0, 2)])
        other, main, of_device = (line["mm"] for line in log[:3])
        self.assertEqual(of_device, main)
        self.assertNotEqual(other, main)
        self.assertEqual({line["mm"] for line in log if line["ev"] == "mn_range_start"}, {main})

    def test_timeline_goes_where_a_complete_file_can_be(self):
        for file, why in (("/dev/null", "not a regular file"), (str(self.folder), "Is a directory"),
                          ("/nonexistent/t.json", "No such file or directory")):
            self.assert_user_error(mmusim("run", "capture-vm", "munmap", *QUICK, "--timeline", file),
                                   f"{file}: cannot write: {why}")
        same = str(self.folder / "same")
        self.assert_user_error(
            mmusim("run", "capture-vm", "munmap", *QUICK, "--timeline", same, "--events", same),
            f"{same}: cannot write: it is a file of this run already")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_causes_are_listed_for_programs(self):
        listed = json.loads(mmusim("list", "causes", "--format", "json").stdout)["causes"]
        events = {e["name"]: e["text"] for e in
                  json.loads(mmusim("list", "events", "--format", "json").stdout)["events"]}
        for cause in listed:
            self.assertLessEqual({cause["from"], *cause["to"]}, set(events))
            self.assertTrue(cause["match"] and cause["text"])
            self.assertIn(cause["take"], ("each target", "oldest", "all"))
        self.assertIn(("ipi_send", "cpumask=agent"), [(c["from"], c["match"][-1]) for c in listed])

    def test_json_on_stdout_is_the_file(self):
        out = self.folder / "out"
        timing = self.folder / "timing.json"
        done = mmusim("run", "capture-vm", "munmap", *QUICK, "--out", str(out), "--format", "json",
                      "--timing", str(timing))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, (out / "results.json").read_text())
        self.assertGreater(json.loads(timing.read_text())["host_s"], 0)

    def test_config_show_can_be_run(self):
        both = self.write("both.toml", mmusim("config", "show", "capture-vm", "munmap", *QUICK).stdout)
        self.assertEqual(mmusim("run", both, both, "--quiet").returncode, 0)

    def test_a_violation_is_exit_code_1(self):
        done = mmusim("run", "capture-vm", "reclaim-anon", "--set", "inject.fault=skip-batch-flush",
                      "--set", "region.heap.pages=128")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("UNSAFE: ", done.stdout)

    def test_hazards_are_exit_code_1_only_when_they_count(self):
        few = ["--set", "region.heap.pages=64"]
        shootdowns = ["run", "capture-vm", "migrate", "--set", "operation.migrate.rounds=1", *few]
        done = mmusim(*shootdowns)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\n  HZ14 initiator's own callback +[0-9,]+ times, ")
        self.assertTrue(done.stdout.endswith("\nsafe: no violation; hazards of the kernel itself: "
                                             "HZ14\n"), done.stdout)
        strict = mmusim(*shootdowns, "--strict-hazards")
        self.assertEqual(strict.returncode, 1, strict.stderr)
        self.assertIn("\nUNSAFE: no violation, but hazards of the kernel itself: HZ14\n",
                      strict.stdout)
        # What is written does not depend on it.
        reports = [mmusim(*shootdowns, "--format", "json", *more).stdout
                   for more in ([], ["--strict-hazards"])]
        self.assertEqual(reports[0], reports[1])
        hazard, = json.loads(reports[0])["oracle"]["hazards"]
        self.assertEqual((hazard["id"], hazard["wrong_uses"]), ("HZ14", 0))
        self.assertGreater(hazard["window_ns"]["sum"], hazard["window_ns"]["max"])
        self.assertRegex(hazard["first"]["agent"], r"^core\d+$")
        self.assertTrue(hazard["first"]["operation"] and hazard["first"]["what"])
        self.assertEqual(mmusim("run", "laptop", "reclaim-anon", "--strict-hazards", "--quiet",
                                *few).returncode, 0)

    def test_uses_that_come_from_a_hazard_say_so(self):
        done = mmusim("run", "skylake-sp-2s", "svm-munmap", "--set", "region.buffer.pages=1025",
                      "--set", "operation.munmap.rounds=4", "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        oracle = json.loads(done.stdout)["oracle"]
        self.assertEqual((oracle["violations_found"], oracle["violations"]), (0, []))
        hazard, = oracle["hazards"]
        self.assertEqual(hazard["id"], "HZ7")
        use = hazard["first_wrong_use"]
        self.assertEqual((use["rule"], use["agent"]), ("stale-translation", "nic0.atc"))
        self.assertIn("hazard HZ7: the IOTLB was invalidated for ", use["missing"])
        self.assertGreater(use["window_ns"], 0)

    def test_a_guest_that_waits_for_ever_ends_with_the_scenario(self):
        # The refused start leaves KVM's count raised: no vCPU gets a page of that VM again.
        done = mmusim("run", "laptop", "everything", "--set", "operation.reclaim.type=oom_reap",
                      "--set", "process.main.notifier=sleeper", "--quiet")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # One that only polls is stopped by the interrupts of kicks.
        done = mmusim("run", "laptop", "guest-reclaim", "--set", "guest.main.pattern=idle", "--quiet")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_interrupt_completes_the_files(self):
        out = self.folder / "out"
        process = subprocess.Popen([PROGRAM, "run", "capture-vm", "reclaim-anon", "--out",
                                    str(out), "--events", "events.jsonl", "--timeline",
                                    "timeline.json", "--quiet", "--set",
                                    "operation.reclaim.rounds=1000000"])
        events = out / "events.jsonl"
        while not (events.exists() and events.stat().st_size > 0):
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=120), 130)
        self.assertTrue(json.loads((out / "results.json").read_text())["stopped"])
        for line in events.read_text().splitlines():
            json.loads(line)
        json.loads((out / "timeline.json").read_text())

    def test_installed_folders_do_not_appear_in_results(self):
        done = mmusim("run", "capture-vm", "munmap", *QUICK, "--format", "json")
        self.assertNotIn(str(CONFIGS), done.stdout)


if __name__ == "__main__":
    PROGRAM, CONFIGS = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
