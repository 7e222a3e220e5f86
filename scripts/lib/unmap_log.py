# SPDX-License-Identifier: Apache-2.0
"""Reading an event log: its operations, the events of one of them, and what caused what.

Sourced by draw_unmap.py. Standard library only.
"""
import collections
import json
import re
import subprocess

MASK_BITS = 64  # "cpumask" is the first word of a mask


class LogError(Exception):
    """The log, or what was asked of it, is wrong; one line."""


class Event:
    """One event: `t` in picoseconds, `agent` a name, `op` "0.17" or None."""

    __slots__ = ("t", "seq", "agent", "op", "ev", "args")

    def __init__(self, line):
        self.t, self.seq, self.agent = line.pop("t"), line.pop("seq"), line.pop("agent")
        self.op, self.ev, self.args = line.pop("op", None), line.pop("ev"), line

    def number(self, name):
        """An argument as a number."""
        return int(str(self.args[name]), 0)

    def __repr__(self):
        return f"{self.ev}@{self.agent}+{self.t}"


class Operation:
    """A finished operation: from `begin` to `end`, two events; `batch` is the id of the one that it
    lies in, or None."""

    def __init__(self, kind, begin, end, batch, batch_kind):
        self.id, self.kind, self.begin, self.end = begin.op, kind, begin, end
        self.batch, self.batch_kind = batch, batch_kind

    @property
    def latency(self):
        return self.end.t - self.begin.t


class Vocabulary:
    """What the program says of its events: kinds of operations, and rules of causes."""

    def __init__(self, operations, causes):
        self.kinds, self.causes = operations, causes

    @classmethod
    def of(cls, program):
        def listed(what):
            command = [program, "list", what, "--format", "json"]
            return json.loads(subprocess.check_output(command))[what]

        return cls([row["name"] for row in listed("operations")], listed("causes"))


def lines_of(path):
    """The lines of a log behind its first, and their numbers. A run that was killed may have left a partial one."""
    with open(path, encoding="utf-8", errors="replace") as file:
        head = file.readline()
        if '"mmusim"' not in head or '"format":1' not in head:
            raise LogError(f"{path}: not an event log of mmusim (format 1)")
        for number, line in enumerate(file, 2):
            if line.endswith("\n"):
                yield number, line


def event_of(path, number, line):
    """The event of a line of lines_of()."""
    try:
        return Event(json.loads(line))
    except (ValueError, KeyError, AttributeError):
        raise LogError(f"{path}:{number}: not an event") from None


def operations(path, vocabulary):
    """All finished operations, in the order of their ends."""
    running, opened, finished = {}, collections.defaultdict(list), []
    for number, line in lines_of(path):
        if '"ev":"op_' not in line:
            continue
        event = event_of(path, number, line)
        kind = vocabulary.kinds[event.args["kind"]]
        around = opened[event.agent]
        if event.ev == "op_begin":
            running[event.op] = (event, around[-1] if around else (None, None))
            if kind != "unmap":  # Operations of pages outlive their turn: nothing nests in them.
                around.append((event.op, kind))
        elif event.op in running:
            begin, batch = running.pop(event.op)
            finished.append(Operation(kind, begin, event, *batch))
            if (event.op, kind) in around:
                del around[around.index((event.op, kind)):]
    return finished


def select(finished, kind, operation=None, page=None):
    """The operation with that id, the `page`-th (from 1) of its kind, or that of median latency."""
    if operation is not None:
        for candidate in finished:
            if candidate.id == operation:
                return candidate
        raise LogError(f"no operation {operation} was finished in this log")
    of_kind = [candidate for candidate in finished if candidate.kind == kind]
    if not of_kind:
        kinds = sorted({candidate.kind for candidate in finished})
        raise LogError(f"no {kind} was finished in this log; it has: {', '.join(kinds) or 'none'}")
    if page is not None:
        if not 1 <= page <= len(of_kind):
            raise LogError(f"--page is {page}; expected a number from 1 to {len(of_kind)}")
        return of_kind[page - 1]
    ranked = sorted(of_kind, key=lambda candidate: candidate.latency)
    return ranked[(len(ranked) - 1) // 2]


def events_of(path, operation):
    """Everything that happened from the begin of an operation to its end, at any agent."""
    sequence = re.compile(r'"seq":(\d+)')
    found = []
    for number, line in lines_of(path):
        seq = sequence.search(line)
        if not seq:
            raise LogError(f"{path}:{number}: not an event")
        if int(seq[1]) > operation.end.seq:
            break
        if int(seq[1]) >= operation.begin.seq:
            found.append(event_of(path, number, line))
    return found


def cpu_number(agent):
    match = re.fullmatch(r"core(\d+)", agent)
    return int(match[1]) if match else None


class Causes:
    """Applies the rules of `mmusim list causes` to a stream of events."""

    def __init__(self, rules):
        self.rules = rules
        self.waiting = [[] for _ in rules]

    @staticmethod
    def _value(event, name):
        if name == "operation":
            return event.op
        return cpu_number(event.agent) if name == "agent" else event.number(name)

    def _holds(self, term, cause, effect):
        source, _, target = term.partition("=")
        have, want = self._value(cause, source), self._value(effect, target or source)
        if source == "cpumask":
            return want is not None and (want >= MASK_BITS or have >> want & 1)
        return have == want

    def arrows(self, events):
        """(rule, cause, effect), in the order of the effects."""
        for event in events:
            for rule, waiting in zip(self.rules, self.waiting):
                if event.ev in rule["to"]:
                    yield from self._take(rule, waiting, event)
                if event.ev == rule["from"] and (not rule["when"] or event.number(rule["when"])):
                    if rule["take"] == "each target":
                        waiting[:] = [w for w in waiting if w[0].agent != event.agent]
                    waiting.append((event, set()))

    def _take(self, rule, waiting, effect):
        for entry in list(waiting):
            cause, served = entry
            if effect.agent in served or not all(self._holds(t, cause, effect) for t in rule["match"]):
                continue
            yield rule, cause, effect
            if rule["take"] == "each target":
                served.add(effect.agent)
            else:
                waiting.remove(entry)
            if rule["take"] != "all":
                return
