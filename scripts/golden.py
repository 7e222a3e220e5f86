#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Event order of a target page: ours against what a real 5.0.1 kernel did.

  golden.py check PROGRAM [CASE]     run each case and compare with tests/golden/expected
  golden.py import CAPTURES [CASE]   rewrite tests/golden/expected from the captures of a kernel

A case is tests/golden/cases/NAME.json: {"capture", "platform", "scenario", "page"} and optionally
"set", settings of the run. The expected file holds, per CPU role, the kinds of events in their
order. Compared are the kinds that both sides have.
"""
import argparse
import json
import lzma
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "golden" / "cases"
EXPECTED = ROOT / "tests" / "golden" / "expected"
# While the first runs, up to the second, other CPUs work for the page that is flushed.
SHOOTDOWN, SHOOTDOWN_END = "flush_tlb_others", "flush_tlb_others_ret"
# What a vCPU does on another CPU by itself: where that falls in the time of a flush is chance.
VCPU_OWN = {"kvm_entry", "kvm_exit", "kvm_page_fault", "kvm_tdp_page_fault", "svm_flush_tlb"}
# The operation whose events are compared: OperationKind of reclaim, move_pages and munmap.
CALLS = {0, 3, 4}


class Event:
    """One event of either side: where, what, and which page it names."""

    def __init__(self, cpu, name, args):
        self.cpu, self.name, self.args = cpu, name, args

    def kind(self):
        if self.name == "tlb_flush":
            return f"tlb_flush {self.args['reason']} {self.args['pages']}"
        return self.name

    def pages(self):
        """Page frames named by the event, as numbers."""
        return [int(str(self.args[key]), 0) for key in ("pfn", "src_pfn", "dst_pfn") if key in self.args]

    def address(self):
        return int(str(self.args["addr"]), 0) if "addr" in self.args else None


def read_lines(path):
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt") as file:
        return [json.loads(line) for line in file]


def capture_events(path):
    """Events of the traced operation, in the order of the capture's counter."""
    head, *lines = read_lines(path)
    inside = [e for e in lines if head["op_begin_t"] < e["t"] < head["op_end_t"]]
    cpu_of_task = {}
    for e in inside:
        # The argument of tlb_is_not_lazy is a CPU as well and hides the one that runs it.
        if e["ev"] == "tlb_is_not_lazy":
            e["cpu"] = cpu_of_task[e["task"]]
        elif "irq" not in e:
            cpu_of_task[e["task"]] = e["cpu"]
    return [Event(e["cpu"], e["ev"], e) for e in inside]


def our_events(path):
    """Events of cores from the beginning of the first call to its end."""
    _, *lines = read_lines(path)
    is_call = [i for i, e in enumerate(lines) if call_of(e) in CALLS]
    begin = is_call[0]
    end = next(i for i in is_call if lines[i]["ev"] == "op_end")
    return [Event(int(e["agent"].removeprefix("core")), e["ev"], e) for e in lines[begin:end + 1]
            if e["agent"].startswith("core")]


def call_of(event):
    return event["kind"] if event["ev"] in ("op_begin", "op_end") else None


def target_events(events, address, kinds):
    """The events that belong to the page at `address`, each with the role of its CPU.

    An event that names no page belongs to the page its CPU has named last; what other CPUs do
    while a flush is under way belongs to the page that is flushed.
    """
    frames = {page for e in events if e.address() == address for page in e.pages()}
    frames |= {p for e in events if frames & set(e.pages()) for p in e.pages()}
    initiator = next(e.cpu for e in events if e.address() == address)
    mine, flushing, chosen = False, False, []
    for e in events:
        if e.cpu == initiator:
            named = e.pages()
            if named:
                mine = bool(frames & set(named))
            elif e.address() is not None:
                mine = e.address() == address
            if e.name in (SHOOTDOWN, SHOOTDOWN_END):
                flushing = mine and e.name == SHOOTDOWN
        if e.cpu != initiator and e.name in VCPU_OWN:
            continue
        if e.name in kinds and (mine if e.cpu == initiator else flushing):
            chosen.append((("initiator" if e.cpu == initiator else f"cpu{e.cpu}"), e.kind()))
    return chosen


def by_role(chosen):
    roles = {}
    for role, kind in chosen:
        roles.setdefault(role, []).append(kind)
    return {"initiator": roles.pop("initiator"), "others": [roles[r] for r in sorted(roles)]}


def protocol_order(chosen):
    """What the protocol orders across CPUs; a list of breaches."""
    breaches, started, finished, sent = [], 0, 0, False
    targets = {role for role, _ in chosen if role != "initiator"}
    for role, kind in chosen:
        if kind.startswith("tlb_flush remote_send_ipi"):
            sent = True
        if role != "initiator" and kind.startswith("call_function"):
            started += 1
            if not sent:
                breaches.append(f"{role} was interrupted before the send")
        if role != "initiator" and kind == "flush_tlb_func_ret":
            finished += 1
        if role == "initiator" and kind == "flush_tlb_others_ret" and finished < len(targets):
            breaches.append("the initiator went on before every target had flushed")
    if started != finished:
        breaches.append("a target was interrupted but did not flush")
    return breaches


def vocabulary(program):
    """Our events have the kernel's names where it has one."""
    listed = subprocess.check_output([program, "list", "events", "--format", "json"])
    return {row["name"] for row in json.loads(listed)["events"]}


def run_case(program, case):
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "events.jsonl"
        command = [program, "run", case["platform"], str(CASES / case["scenario"]), "--quiet",
                   "--events", str(log)]
        for setting in case.get("set", []):
            command += ["--set", setting]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return our_events(log)


def check(program, names):
    failed = 0
    known = vocabulary(program)
    for name in names:
        case = json.loads((CASES / f"{name}.json").read_text())
        expected = json.loads((EXPECTED / f"{name}.json").read_text())
        events = run_case(program, case)
        kinds = set(expected["kinds"]) & known
        chosen = target_events(events, int(case["page"], 0), kinds)
        missing = sorted(set(expected["kinds"]) - kinds)
        want = {"initiator": [k for k in expected["initiator"] if k.split()[0] in kinds],
                "others": [[k for k in o if k.split()[0] in kinds - VCPU_OWN]
                           for o in expected["others"]]}
        got = by_role(chosen)
        problems = protocol_order(chosen)
        for role in ("initiator", "others"):
            if got[role] != want[role]:
                problems.append(difference(role, want[role], got[role]))
        failed += bool(problems)
        print(f"{'FAILED' if problems else 'ok    '} {name}: {len(chosen)} events, "
              f"{len(kinds)} kinds; only in the capture: {', '.join(missing) or 'none'}")
        for problem in problems:
            print("   ", problem)
    return failed


def difference(role, want, got):
    if role == "others":
        return f"other CPUs: the kernel has {want}, we have {got}"
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return (f"{role}, event {at}: the kernel has {want[max(0, at - 3):at + 4]}, "
            f"we have {got[max(0, at - 3):at + 4]}")


def import_captures(captures, names):
    EXPECTED.mkdir(parents=True, exist_ok=True)
    for name in names:
        case = json.loads((CASES / f"{name}.json").read_text())
        found = sorted(pathlib.Path(captures).glob(case["capture"] + ".jsonl*"))
        events = capture_events(found[0])
        chosen = target_events(events, int(case["page"], 0), {e.name for e in events})
        kinds = sorted({kind.split()[0] for _, kind in chosen})
        record = {"capture": case["capture"], "kinds": kinds, **by_role(chosen)}
        (EXPECTED / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        print(f"{name}: {len(chosen)} events of {len(kinds)} kinds")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["check", "import"])
    parser.add_argument("where", help="the mmusim program, or the folder of the captures")
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()
    names = options.case or sorted(path.stem for path in CASES.glob("*.json"))
    action = check if options.command == "check" else import_captures
    return 1 if action(options.where, names) else 0


if __name__ == "__main__":
    sys.exit(main())
