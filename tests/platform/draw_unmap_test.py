#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: draw_unmap_test.py PROGRAM SCRIPTS    the picture of an unmap: what is chosen, where it goes

Logs of the program, and one that is made up here, in which KVM, an IOMMU and a device take part.
"""
import decimal
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
SCRIPTS = pathlib.Path()


class Log:
    """An event log, written by hand: times in nanoseconds."""

    def __init__(self, kinds):
        self.kinds, self.lines, self.time, self.op = kinds, [], 0, "0.1"

    def at(self, time, agent, name, op="", **args):
        args = {"kind": self.kinds.index(args["kind"])} if "kind" in args else args
        line = {"t": int(time * 1000), "agent": agent, "op": self.op if op == "" else op, "ev": name}
        self.lines.append({k: v for k, v in {**line, **args}.items() if v is not None})

    def write(self, path):
        self.lines.sort(key=lambda line: line["t"])
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"mmusim":"0.1.0","format":1}\n')
            for seq, line in enumerate(self.lines):
                file.write(json.dumps({"t": line.pop("t"), "seq": seq, **line},
                                      separators=(",", ":")) + "\n")


def shootdown(log, time, targets, wake, second_turn):
    """An interrupt to targets, each entered `wake` ns later; returns the time of the last ack."""
    mask = hex(sum(1 << int(t.removeprefix("core")) for t in targets))
    log.at(time, "core0", "ipi_send", vector=252, cpumask=mask)
    for i, target in enumerate(targets):
        entered = time + wake + 40 * i
        log.at(entered, target, "call_function_entry", vector=252)
        if second_turn:
            log.at(entered + 50, target, "flush_tlb_func", reason=1, mm=2, start="0x0", end="0x0", gen=1)
            log.at(entered + 250, target, "flush_tlb_func_ret")
        log.at(entered + 260, target, "call_function_ack", **{"from": 0})
    return time + wake + 40 * (len(targets) - 1) + 260


def submit(log, time, kind, device):
    """One queued invalidation, waited for; returns the time of its end."""
    area = {"pasid": 1, "start": "0x1000", "end": "0x2000"}
    log.at(time, "core0", "qi_submit_sync", sequence=kind, type=kind, **area)
    log.at(time + 150, "core0", "iqt_write", sequence=kind)
    log.at(time + 420, "iommu0", "iommu_descriptor", index=0, type=kind, **area)
    done = time + 620
    if device:
        log.at(time + 480, "iommu0", "ats_invalidate_request", device=3, **area)
        log.at(time + 600, "iommu0", "iommu_descriptor", index=1, type=5, pasid=0, start="0x0", end="0x0")
        log.at(time + 900, "accel0", "atc_invalidated", None, device=3, **area)
        log.at(time + 1500, "accel0", "ats_invalidate_completion", None, device=3, in_flight=2, **area)
        log.at(time + 1920, "iommu0", "ats_invalidate_done", device=3, **area)
        done = time + 1960
    else:
        log.at(time + 560, "iommu0", "iotlb_invalidated", entries=3, **area)
    log.at(done, "iommu0", "iommu_wait_done", index=1, status="0x80")
    log.at(done + 200, "core0", "qi_submit_sync_ret", sequence=kind)
    return done + 200


def secondary_mmus(kinds):
    """One page unmapped that CPUs, two vCPUs, an IOMMU and a device with an ATC have cached."""
    log, area = Log(kinds), {"mm": 2, "start": "0x1000", "end": "0x2000"}
    for cpu in (4, 5):
        log.at(0, f"core{cpu}", "kvm_entry", None, vm=1, vcpu=cpu - 4)
    log.at(100, "core0", "op_begin", kind="unmap")
    log.at(100, "core0", "try_to_unmap", pfn="0x15", flags="0x1")
    log.at(110, "core0", "rmap_walk_anon", pfn="0x15", locked=0)
    log.at(160, "core0", "try_to_unmap_one", pfn="0x15", mm=2, addr="0x1000", flags="0x1")
    log.at(220, "core0", "mn_range_start", blockable=1, **area)
    log.at(240, "core0", "kvm_mn_range_start", **area)
    log.at(700, "core0", "kvm_flush_remote_tlbs", vm=1)
    for vcpu in (0, 1):
        log.at(740 + 20 * vcpu, "core0", "kvm_make_request", vm=1, vcpu=vcpu, mode=1, kicked=1)
        exited = 1500 + 40 * vcpu
        log.at(exited, f"core{vcpu + 4}", "vm_exit", None, vm=1, vcpu=vcpu, reason=1)
        log.at(2300 + 40 * vcpu, f"core{vcpu + 4}", "kvm_vcpu_flush_tlb", None, vm=1, vcpu=vcpu)
        log.at(2500 + 40 * vcpu, f"core{vcpu + 4}", "kvm_entry", None, vm=1, vcpu=vcpu)
    kicked = shootdown(log, 800, ["core4", "core5"], 1000, second_turn=False)
    log.at(kicked + 30, "core0", "kvm_flush_remote_tlbs_ret", vm=1, cpumask="0x30")
    log.at(kicked + 90, "core0", "kvm_mn_range_start_ret")
    log.at(kicked + 90, "core0", "mn_range_start_ret", ret=0, **area)
    cleared = kicked + 150
    log.at(cleared, "core0", "ptep_clear_flush", mm=2, addr="0x1000", ptep="0x0", pte="0x1", pfn="0x15",
           generation=0)
    log.at(cleared + 30, "core0", "flush_tlb_mm_range", stride=12, freed_tables=0, **area)
    log.at(cleared + 250, "core0", "flush_tlb_others", cpumask="0xe", gen=1, **area)
    flushed = shootdown(log, cleared + 450, ["core1", "core2", "core3"], 500, second_turn=True)
    for name in ("flush_tlb_others_ret", "flush_tlb_mm_range_ret", "ptep_clear_flush_ret"):
        log.at(flushed + 30, "core0", name)
    log.at(flushed + 40, "core0", "mn_range", **area)
    log.at(flushed + 50, "core0", "client_invalidate", client=1, **area)
    iotlb = submit(log, flushed + 80, 6, device=False)
    atc = submit(log, iotlb + 60, 8, device=True)
    log.at(atc + 20, "core0", "client_invalidate_ret", client=1, **area)
    log.at(atc + 60, "core0", "mm_counter", mm=2, counter=1, delta=-1)
    log.at(atc + 80, "core0", "pte_set_swap", mm=2, addr="0x1000", ptep="0x0", pte="0x2")
    log.at(atc + 120, "core0", "try_to_unmap_one_ret", ret=1)
    log.at(atc + 140, "core0", "mn_range_end", only_end=1, **area)
    log.at(atc + 200, "core0", "mn_range_end_ret", **area)
    log.at(atc + 210, "core0", "rmap_walk_anon_ret")
    log.at(atc + 210, "core0", "try_to_unmap_ret", ret=1)
    log.at(atc + 400, "core0", "mm_page_free", pfn="0x15", order=0, generation=1)
    log.at(atc + 440, "core0", "mm_page_alloc", None, pfn="0x16", generation=0)
    log.at(atc + 480, "core0", "op_end", kind="unmap")
    return log


class Picture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.vocabulary = unmap_log.Vocabulary.of(PROGRAM)
        cls.made_up = cls.path("made_up.jsonl")
        secondary_mmus(cls.vocabulary.kinds).write(cls.made_up)

    @classmethod
    def path(cls, name):
        return str(pathlib.Path(cls.folder.name) / name)

    @classmethod
    def run_of(cls, scenario, *more):
        log = cls.path(f"{scenario}.jsonl")
        subprocess.run([PROGRAM, "run", "capture-vm", scenario, "--quiet", "--events", log, *more],
                       check=True)
        return log

    def picture(self, log, kind="unmap", lanes=12, **which):
        operation = unmap_log.select(unmap_log.operations(log, self.vocabulary), kind, **which)
        return unmap_layout.picture(operation, unmap_log.events_of(log, operation),
                                    self.vocabulary.causes, lanes)

    def assert_sound(self, picture):
        """What holds for each picture, whatever it shows."""
        self.assertEqual(sum(time for _, _, time in picture.parts), picture.length)
        for lane in picture.lanes:
            for box in lane.boxes:
                self.assertIn(box.phase, unmap_phases.PHASES)
                self.assertLess(box.begin, box.end)
            for one, other in zip(lane.boxes, lane.boxes[1:]):
                self.assertLessEqual(one.end, other.begin)
            for box in lane.boxes:
                self.assertTrue(0 <= box.begin and box.end <= picture.length)
        boxes = picture.lanes[0].boxes
        self.assertEqual((boxes[0].begin, boxes[-1].end), (0, picture.length))
        for one, other in zip(boxes, boxes[1:]):
            self.assertEqual(one.end, other.begin)
        agents = [lane.agent for lane in picture.lanes]
        self.assertEqual(len(set(agents)), len(agents))
        for arrow in picture.arrows:
            self.assertLessEqual(arrow.begin, arrow.end)
            self.assertLessEqual({arrow.source, arrow.target}, set(agents))
        places = [picture.axis.place(t) for t in range(0, picture.length + 1, picture.length // 97)]
        self.assertEqual(places, sorted(places))
        self.assertAlmostEqual(picture.axis.place(picture.length), 1)

    def rules(self, picture):
        found = {}
        for arrow in picture.arrows:
            found.setdefault(arrow.rule, []).append((arrow.source, arrow.target, arrow.critical))
        return found


class MadeUp(Picture):
    def test_everybody_who_takes_part_has_a_lane(self):
        picture = self.picture(self.made_up)
        self.assert_sound(picture)
        self.assertEqual([lane.agent for lane in picture.lanes],
                         ["core0", "core1", "core2", "core3", "core4", "core5", "iommu0", "accel0"])
        titles = {lane.agent: lane.title for lane in picture.lanes}
        self.assertEqual((titles["core0"], titles["core1"], titles["core5"]),
                         ("initiator", "", "VM 1 vCPU 1"))
        self.assertEqual(picture.left_out, [])

    def test_arrows_of_every_rule_and_what_ended_the_waits(self):
        rules = self.rules(self.picture(self.made_up))
        self.assertEqual(set(rules), {rule["name"] for rule in self.vocabulary.causes})
        self.assertEqual(rules["kick"], [("core0", "core4", False), ("core0", "core5", False)])
        self.assertEqual(rules["request"], rules["kick"])
        self.assertEqual(rules["interrupt"], [
            ("core0", "core4", False), ("core0", "core5", True), ("core0", "core1", False),
            ("core0", "core2", False), ("core0", "core3", True)])
        self.assertEqual(rules["acknowledgement"], [
            ("core4", "core0", False), ("core5", "core0", True), ("core1", "core0", False),
            ("core2", "core0", False), ("core3", "core0", True)])
        self.assertEqual(rules["descriptor"], [("core0", "iommu0", True)] * 2)
        self.assertEqual(rules["ats request"], [("iommu0", "accel0", True)])
        self.assertEqual(rules["ats completion"], [("accel0", "iommu0", True)])
        self.assertEqual(rules["wait status"], [("iommu0", "core0", True)] * 2)

    def test_waits_say_for_whom(self):
        picture = self.picture(self.made_up)
        waits = [(box.phase, box.label) for box in picture.lanes[0].boxes if box.waits]
        self.assertEqual(waits, [("kick", "waits for core5"), ("ipi", "waits for core3"),
                                 ("iommu", "waits for iommu0"), ("iommu", "waits for iommu0")])
        lanes = {lane.agent: lane for lane in picture.lanes}
        self.assertEqual([(b.phase, b.waits, b.label) for b in lanes["iommu0"].boxes], [
            ("iotlb", False, ""), ("iommu", False, ""), ("iommu", False, ""),
            ("atc", True, "waits for accel0"), ("iommu", False, "")])
        self.assertEqual([(b.phase, b.waits) for b in lanes["accel0"].boxes], [("dma", True)])

    def test_cpus_show_handler_flush_and_guest(self):
        lanes = {lane.agent: lane for lane in self.picture(self.made_up).lanes}
        self.assertEqual([b.phase for b in lanes["core2"].boxes], ["handler", "flushed", "handler"])
        self.assertEqual([b.phase for b in lanes["core4"].boxes], ["guest", "handler", "guest"])
        self.assertEqual([text for _, text in lanes["core4"].marks], ["exit", "flush", "entry"])

    def test_the_parts_are_those_of_the_events(self):
        parts = {(phase, waits): time for phase, waits, time in self.picture(self.made_up).parts}
        self.assertEqual(parts["kick", False], 100_000)
        self.assertEqual(parts["kick", True], 1_330_000)
        self.assertEqual(parts["kvm", False], (460 + 60) * 1000)
        self.assertEqual(parts["iommu", True], (670 + 2010) * 1000)
        self.assertEqual(parts["iommu", False], 2 * 150_000)
        self.assertNotIn(("batch", True), parts)

    def test_with_few_lanes_hardware_and_who_was_waited_for_remain(self):
        picture = self.picture(self.made_up, lanes=5)
        self.assert_sound(picture)
        self.assertEqual([lane.agent for lane in picture.lanes],
                         ["core0", "core3", "core5", "iommu0", "accel0"])
        self.assertEqual(picture.left_out, ["core1", "core2", "core4"])


class Matching(Picture):
    def arrows(self, *events):
        """Each (time, agent, name, arguments) of one operation; arrows as (rule, agent, time, agent)."""
        stream = [unmap_log.Event({"t": t, "seq": 0, "agent": agent, "op": "0.1", "ev": name, **args})
                  for t, agent, name, args in events]
        return [(rule["name"], cause.agent, cause.t, effect.agent) for rule, cause, effect in
                unmap_log.Causes(self.vocabulary.causes).arrows(stream)]

    def test_an_interrupt_starts_the_handlers_of_its_mask_once(self):
        send, entry = {"vector": 252, "cpumask": "0x6"}, {"vector": 252}
        self.assertEqual(
            self.arrows((1, "core0", "ipi_send", send), (2, "core3", "call_function_entry", entry),
                        (3, "core1", "call_function_entry", entry),
                        (4, "core1", "call_function_entry", entry),
                        (5, "core64", "call_function_entry", entry),
                        (6, "iommu0", "call_function_entry", entry)),
            [("interrupt", "core0", 1, "core1"), ("interrupt", "core0", 1, "core64")])

    def test_the_next_interrupt_of_a_cpu_ends_the_wait_for_the_last(self):
        send, entry = {"vector": 252, "cpumask": "0x2"}, {"vector": 252}
        self.assertEqual(
            self.arrows((1, "core0", "ipi_send", send), (2, "core0", "ipi_send", send),
                        (3, "core1", "call_function_entry", entry),
                        (4, "core1", "call_function_entry", entry)),
            [("interrupt", "core0", 2, "core1")])

    def test_a_vcpu_that_was_not_kicked_does_not_leave_for_the_request(self):
        request = {"vm": 1, "vcpu": 0, "mode": 0, "kicked": 0}
        self.assertEqual(
            self.arrows((1, "core0", "kvm_make_request", request),
                        (2, "core4", "vm_exit", {"vm": 1, "vcpu": 0, "reason": 1}),
                        (3, "core4", "kvm_vcpu_flush_tlb", {"vm": 1, "vcpu": 0})),
            [("request", "core0", 1, "core4")])

    def test_a_line_that_was_not_finished_is_not_read(self):
        cut = self.path("line.jsonl")
        pathlib.Path(cut).write_text('{"mmusim":"0.1.0","format":1}\n{"t":1}\n{"t":')
        self.assertEqual(list(unmap_log.lines_of(cut)), [(2, '{"t":1}\n')])


class Tables(Picture):
    def test_phases_are_derived_from_events_that_exist(self):
        listed = subprocess.check_output([PROGRAM, "list", "events", "--format", "json"])
        marks = {row["name"]: row["mark"] for row in json.loads(listed)["events"]}
        for name in unmap_phases.ENTRY:
            self.assertEqual(marks.get(name), "entry", name)
            self.assertEqual(marks.get(f"{name}_ret"), "return", name)
        for table in ("BEFORE", "AFTER", "SHARED_ENTRY", "SHARED_POINT", "HARDWARE_AFTER",
                      "HARDWARE_BEFORE", "MARKED"):
            self.assertLessEqual(set(getattr(unmap_phases, table)), set(marks), table)

    def test_every_phase_has_a_name_and_a_colour(self):
        used = {*unmap_phases.ENTRY.values(), *unmap_phases.BEFORE.values(),
                *(phase for phase, _ in unmap_phases.HARDWARE_BEFORE.values())}
        self.assertLessEqual(used, set(unmap_phases.PHASES))
        import draw_unmap
        self.assertEqual(set(draw_unmap.COLOURS), set(unmap_phases.PHASES))

    def test_short_boxes_join_their_longer_neighbour_and_leave_no_gap(self):
        box = unmap_phases.Box
        boxes = [box(0, 100, "walk"), box(100, 102, "pte"), box(102, 150, "page"), box(150, 151, "pte"),
                 box(151, 300, "walk")]
        joined = unmap_layout.coalesce(boxes, 10)
        self.assertEqual([(b.begin, b.end, b.phase) for b in joined],
                         [(0, 102, "walk"), (102, 150, "page"), (150, 300, "walk")])
        self.assertEqual(unmap_layout.coalesce(boxes, 1), boxes)


class Runs(Picture):
    def test_a_migrated_page_waits_for_every_target(self):
        picture = self.picture(self.run_of("migrate", "--set", "operation.migrate.rounds=1"), page=3)
        self.assert_sound(picture)
        rules = self.rules(picture)
        self.assertEqual(len(rules["interrupt"]), len(picture.lanes) - 1)
        self.assertEqual(len(rules["acknowledgement"]), len(picture.lanes) - 1)
        self.assertEqual(sum(critical for _, _, critical in rules["acknowledgement"]), 1)
        self.assertEqual(picture.axis.cuts, [])

    def test_a_page_of_a_batch_waits_for_the_others_and_shares_their_flush(self):
        log = self.run_of("reclaim-file")
        picture = self.picture(log)
        self.assert_sound(picture)
        parts = {phase for phase, _, _ in picture.parts}
        self.assertLessEqual({"batch", "walk", "pte", "flush", "ipi", "free"}, parts)
        self.assertEqual(len(picture.axis.cuts), 1)
        self.assertIn("interrupt", self.rules(picture))
        for lane in picture.lanes[1:]:
            self.assertIn("flushed", [box.phase for box in lane.boxes], lane.agent)
        begin, end = picture.axis.cuts[0]
        cut = picture.axis.place(end) - picture.axis.place(begin)
        self.assertAlmostEqual(cut, unmap_layout.Axis.CUT_SHARE)
        for tick in picture.axis.ticks():
            self.assertFalse(begin < tick < end)

    def test_a_call_contains_its_pages(self):
        picture = self.picture(self.run_of("reclaim-file"), kind="shrink_page_list", page=40)
        self.assert_sound(picture)
        parts = {phase for phase, _, _ in picture.parts}
        self.assertLessEqual({"walk", "pte", "flush", "ipi", "free"}, parts)
        self.assertNotIn("batch", parts)

    def test_a_whole_munmap(self):
        picture = self.picture(self.run_of("munmap"), kind="munmap")
        self.assert_sound(picture)
        self.assertTrue(picture.title.startswith("munmap 0."))
        self.assertNotIn("batch", {phase for phase, _, _ in picture.parts})

    def test_pages_are_chosen_by_number_by_name_and_by_median(self):
        log = self.run_of("migrate")
        finished = unmap_log.operations(log, self.vocabulary)
        unmaps = [operation for operation in finished if operation.kind == "unmap"]
        self.assertIs(unmap_log.select(finished, "unmap", page=2), unmaps[1])
        self.assertIs(unmap_log.select(finished, "unmap", operation=unmaps[4].id), unmaps[4])
        median = unmap_log.select(finished, "unmap").latency
        below = sum(operation.latency < median for operation in unmaps)
        above = sum(operation.latency > median for operation in unmaps)
        self.assertTrue(below <= len(unmaps) / 2 and above <= len(unmaps) / 2)
        self.assertEqual(unmaps[0].batch_kind, "move_pages")
        for which in ({"page": len(unmaps) + 1}, {"page": 0}, {"operation": "9.9"}):
            with self.assertRaises(unmap_log.LogError):
                unmap_log.select(finished, "unmap", **which)
        with self.assertRaises(unmap_log.LogError):
            unmap_log.select(finished, "munmap")

    def test_the_rules_find_what_the_timeline_shows(self):
        timeline = self.path("timeline.json")
        log = self.run_of("migrate", "--timeline", timeline)
        events = [unmap_log.event_of(log, *line) for line in unmap_log.lines_of(log)]
        ours = sorted((rule["name"], cause.t, cause.agent, effect.t, effect.agent) for
                      rule, cause, effect in unmap_log.Causes(self.vocabulary.causes).arrows(events))
        with open(timeline, encoding="utf-8") as file:
            theirs = json.load(file, parse_float=decimal.Decimal)
        names = {e["tid"]: e["args"]["name"] for e in theirs if e.get("name") == "thread_name"}
        ends = {}
        for event in theirs:
            if event["ph"] in "sf":
                ends.setdefault(event["id"], []).append(
                    (event["name"], int(event["ts"] * 10**6), names[event["tid"]]))
        self.assertEqual(ours, sorted((s[0], s[1], s[2], f[1], f[2]) for s, f in ends.values()))
        self.assertGreater(len(ours), 0)


class Script(Picture):
    def draw(self, *arguments):
        return subprocess.run([str(SCRIPTS / "draw_unmap.py"), *arguments, "--mmusim", PROGRAM],
                              capture_output=True, text=True, timeout=120)

    def test_draws_png_of_1600_pixels_and_the_same_svg_every_time(self):
        png, svgs = self.path("a.png"), [self.path("a.svg"), self.path("b.svg")]
        for file in [png, *svgs]:
            done = self.draw(self.made_up, "-o", file)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        with open(png, "rb") as file:
            head = file.read(24)
        self.assertEqual(head[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">I", head[16:20])[0], 1600)
        first, second = (pathlib.Path(svg).read_bytes() for svg in svgs)
        self.assertEqual(first, second)
        self.assertIn(b"<svg", first)

    def test_mistakes_are_one_line_and_exit_code_2(self):
        broken = self.path("broken.jsonl")
        pathlib.Path(broken).write_text("hello\n")
        binary, torn = self.path("binary.jsonl"), self.path("torn.jsonl")
        head = '{"mmusim":"0.1.0","format":1}\n'
        pathlib.Path(binary).write_bytes(bytes(range(256)))
        pathlib.Path(torn).write_text(head + '{"t":1,"ev":"op_begin"\n')
        for arguments, words in (([broken], "not an event log"), ([binary], "not an event log"),
                                 ([torn], "torn.jsonl:2: not an event"),
                                 ([self.path("none")], "No such file"),
                                 ([self.made_up, "--operation", "7.7"], "no operation 7.7"),
                                 ([self.made_up, "--kind", "munmap"], "no munmap was finished"),
                                 ([self.made_up, "-o", "x.pdf"], "FILE.png or FILE.svg")):
            done = self.draw(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_a_run_that_was_killed_can_be_drawn(self):
        cut = self.path("cut.jsonl")
        whole = pathlib.Path(self.run_of("migrate")).read_text()
        pathlib.Path(cut).write_text(whole[:len(whole) // 2])
        done = self.draw(cut, "-o", self.path("cut.png"))
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    PROGRAM, SCRIPTS = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1)).resolve()
    sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "lib")]
    import unmap_layout
    import unmap_log
    import unmap_phases
    unittest.main()
