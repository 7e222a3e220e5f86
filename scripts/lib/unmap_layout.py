# SPDX-License-Identifier: Apache-2.0
"""Where everything goes in the picture of one unmap: lanes, boxes, arrows, the time axis.

Sourced by draw_unmap.py. Standard library only; nothing here draws. Times are picoseconds from the
begin of the operation.
"""
import bisect
import dataclasses

import unmap_log
from unmap_phases import (MARKED, add_box, cpu_boxes, hardware_boxes, initiator_boxes, parts_of,
                          taking_part)


@dataclasses.dataclass
class Lane:
    agent: str
    title: str
    boxes: list = dataclasses.field(default_factory=list)
    marks: list = dataclasses.field(default_factory=list)  # (time, text)


@dataclasses.dataclass
class Arrow:
    rule: str
    source: str  # agent
    begin: int
    target: str
    end: int
    critical: bool = False  # the last thing that somebody waited for


@dataclasses.dataclass
class Picture:
    title: str
    length: int
    lanes: list
    arrows: list
    parts: list  # (phase, waits, picoseconds) of the initiator; they add up to the length
    left_out: list  # agents that take part and have no lane
    axis: "Axis" = None


# ---- boxes and arrows ---------------------------------------------------------------------------------
def coalesce(boxes, least):
    """Of boxes without a gap between them, those shorter than `least` become part of the longer
    neighbour, so that all can be seen."""
    boxes = [dataclasses.replace(box) for box in boxes]
    while len(boxes) > 1:
        lengths = [box.end - box.begin for box in boxes]
        i = lengths.index(min(lengths))
        if lengths[i] >= least:
            break
        beside = [j for j in (i - 1, i + 1) if 0 <= j < len(boxes)]
        into = boxes[max(beside, key=lambda j: lengths[j])]
        into.begin, into.end = min(into.begin, boxes[i].begin), max(into.end, boxes[i].end)
        del boxes[i]
        merged = []
        for box in boxes:
            add_box(merged, box)
        boxes = merged
    return boxes


def last_ender(box, arrows, agent):
    """The arrow that ends a wait of `agent`: of several the last one that began."""
    enders = [a for a in arrows if a.target == agent and box.begin < a.end <= box.end]
    return max(enders, key=lambda a: (a.end, a.begin), default=None)


def mark_critical(boxes, arrows, agent):
    """What ended the waits of the initiator, and what led to that, back to where the wait began."""
    for box in boxes:
        arrow = last_ender(box, arrows, agent) if box.waits else None
        while arrow and not arrow.critical:
            arrow.critical = True
            before = [a for a in arrows if a.target == arrow.source and a.begin >= box.begin
                      and a.end <= arrow.begin]
            arrow = max(before, key=lambda a: (a.end, a.begin), default=None)


# ---- the time axis -----------------------------------------------------------------------------------
class Axis:
    """Picoseconds to 0..1. Long waits for the rest of a batch are cut short."""

    CUT_SHARE = 0.06  # of the width, for each cut
    CUT_FROM = 0.25   # of the rest of the time: longer waits are cut

    def __init__(self, length, boxes):
        waits = [box for box in boxes if box.phase == "batch"]
        rest = max(1, length - sum(box.end - box.begin for box in waits))
        self.cuts = [(box.begin, box.end) for box in waits if box.end - box.begin > self.CUT_FROM * rest]
        linear = length - sum(end - begin for begin, end in self.cuts)
        self.scale = (1 - self.CUT_SHARE * len(self.cuts)) / max(1, linear)
        self.times, self.places = [0], [0.0]
        for begin, end in self.cuts:
            self._extend(begin, (begin - self.times[-1]) * self.scale)
            self._extend(end, self.CUT_SHARE)
        self._extend(length, (length - self.times[-1]) * self.scale)

    def _extend(self, time, width):
        self.times.append(time)
        self.places.append(self.places[-1] + width)

    def place(self, time):
        i = min(max(1, bisect.bisect_left(self.times, time)), len(self.times) - 1)
        t0, t1, x0, x1 = self.times[i - 1], self.times[i], self.places[i - 1], self.places[i]
        return x0 if t1 == t0 else x0 + (x1 - x0) * (time - t0) / (t1 - t0)

    def shortest(self, share):
        """The time that takes `share` of the width where nothing is cut."""
        return share / self.scale

    def ticks(self, wanted=12):
        """Round times that are not inside of cuts."""
        raw, step = self.shortest(1) / wanted, 1
        while step * 10 <= raw:
            step *= 10
        step *= next((f for f in (1, 2, 5, 10) if step * f >= raw), 10)
        inside = [t for t in range(0, self.times[-1] + 1, step)
                  if not any(begin < t < end for begin, end in self.cuts)]
        ticks = []
        for t in inside:
            if not ticks or self.place(t) - self.place(ticks[-1]) > 0.5 / wanted:
                ticks.append(t)
        return ticks


# ---- all of it ---------------------------------------------------------------------------------------
def title_of(operation):
    within = f" in {operation.batch_kind} {operation.batch}" if operation.batch else ""
    return f"{operation.kind} {operation.id}{within}"


def label_waits(boxes, arrows, agent):
    """A wait is for whoever ends it last."""
    for box in boxes:
        ender = last_ender(box, arrows, agent) if box.waits else None
        if ender:
            box.label = f"waits for {ender.source}"


def vcpu_titles(events):
    """Which CPUs run which vCPU."""
    titles = {}
    for event in events:
        if "vcpu" in event.args and event.ev in ("kvm_entry", "vm_exit", "kvm_vcpu_flush_tlb"):
            titles[event.agent] = f"VM {event.args['vm']} vCPU {event.args['vcpu']}"
    return titles


def lane_order(agent):
    """CPUs, then IOMMUs, then devices."""
    cpu = unmap_log.cpu_number(agent)
    if cpu is not None:
        return (0, cpu, "")
    return (1, 0, agent) if agent.startswith("iommu") else (2, 0, agent)


def choose_lanes(agents, arrows, most):
    """Those to draw: hardware, whoever was waited for, then the first CPUs. And the others."""
    critical = {a.source for a in arrows if a.critical} | {a.target for a in arrows if a.critical}
    ranked = sorted(agents, key=lambda a: (unmap_log.cpu_number(a) is not None, a not in critical,
                                           lane_order(a)))
    return (sorted(ranked[:most], key=lane_order), sorted(ranked[most:], key=lane_order))


def picture(operation, events, rules, most_lanes=12):
    """`events` are those of unmap_log.events_of. Times become relative to the operation."""
    origin = operation.begin.t
    for event in events:
        event.t -= origin
    length = operation.latency
    found = list(unmap_log.Causes(rules).arrows(events))
    inside, found = taking_part(operation, events, found)
    arrows = [Arrow(rule["name"], cause.agent, cause.t, effect.agent, effect.t)
              for rule, cause, effect in found]

    initiator = operation.begin.agent
    boxes = initiator_boxes(operation, events)
    mark_critical(boxes, arrows, initiator)
    axis = Axis(length, boxes)
    parts = parts_of(boxes)
    lane = Lane(initiator, "initiator", coalesce(boxes, axis.shortest(0.003)))
    label_waits(lane.boxes, arrows, initiator)
    lanes, titles = [lane], vcpu_titles(events)
    others, left_out = choose_lanes({e.agent for e in inside} - {initiator}, arrows, most_lanes - 1)
    for agent in others:
        mine = [event for event in events if event.agent == agent]
        if unmap_log.cpu_number(agent) is not None:
            served = [e for e in mine if e in inside or e.ev in ("kvm_entry", "vm_exit")]
            lane = Lane(agent, titles.get(agent, ""), cpu_boxes(served, length))
        else:
            served = [e for e in mine if e in inside]
            lane = Lane(agent, "", hardware_boxes(served))
        lane.marks = [(e.t, MARKED[e.ev]) for e in served if e.ev in MARKED]
        label_waits(lane.boxes, arrows, agent)
        lanes.append(lane)
    drawn = {lane.agent for lane in lanes}
    arrows = [a for a in arrows if a.source in drawn and a.target in drawn]
    return Picture(title_of(operation), length, lanes, arrows, parts, left_out, axis)
