# SPDX-License-Identifier: Apache-2.0
"""Where everything goes in the picture of one unmap: lanes, boxes, arrows, the time axis.

Sourced by draw_unmap.py. Standard library only; nothing here draws. Times are picoseconds from the
begin of the operation.
"""
import bisect
import dataclasses

import unmap_log

# ---- phases: what an agent does, in the order of the legend ------------------------------------------
PHASES = {
    "walk": "rmap walk, page-table walk",
    "notifier_start": "notifier: range start",
    "kvm": "KVM: second-stage entries removed",
    "kick": "KVM: vCPUs kicked",
    "pte": "PTE read, cleared, set",
    "flush": "TLB flush: own CPU, set-up",
    "ipi": "TLB flush: other CPUs",
    "invalidate": "notifier: invalidate_range",
    "iommu": "IOMMU: queued invalidation",
    "notifier_end": "notifier: range end",
    "page": "page state, counters, locks",
    "swap": "swap slot, swap cache",
    "writeback": "write-out",
    "copy": "copy to the new frame",
    "remove": "leaves page cache",
    "free": "frames freed",
    "batch": "batch: other pages",
    "interrupted": "other CPUs' interrupts",
    "handler": "interrupt handler",
    "flushed": "TLB flush in the handler",
    "guest": "guest runs",
    "iotlb": "IOTLB, PASID cache",
    "atc": "device TLB (ATC)",
    "dma": "DMA in flight drains",
}

# The phase from an entry to its return, unless something more special is inside. What is not here is
# part of whatever is around it.
_ENTRY = {
    "rmap_walk_anon": "walk", "rmap_walk_file": "walk", "page_vma_mapped_walk": "walk",
    "try_to_unmap": "page", "try_to_unmap_one": "page", "migrate_pages": "page",
    "ptep_clear_flush": "pte", "ptep_clear_flush_young": "pte",
    "mn_range_start": "notifier_start", "mn_range_end": "notifier_end",
    "mn_clear_flush_young": "notifier_start", "client_invalidate": "invalidate",
    "kvm_mn_range_start": "kvm", "kvm_mn_clear_flush_young": "kvm",
    "kvm_flush_remote_tlbs": "kick", "qi_submit_sync": "iommu",
    "try_to_unmap_flush": "flush", "try_to_unmap_flush_dirty": "flush", "arch_tlbbatch_flush": "flush",
    "flush_tlb_mm_range": "flush", "flush_tlb_others": "ipi", "flush_tlb_func": "flush",
    "tlb_finish_mmu": "flush", "add_to_swap": "swap", "swap_duplicate": "swap",
    "swap_writepage": "writeback", "__remove_mapping": "remove", "move_to_new_page": "page",
}
# What the time before such an event went to.
_BEFORE = {
    "pte_clear_defer": "pte", "pte_clear": "pte", "pte_set": "pte", "pte_set_swap": "pte",
    "pte_set_migration": "pte", "pte_restore": "pte", "ubc_tlb_gen_inc": "flush",
    "ubc_flush_required": "flush", "ubc_batched_set": "flush", "mm_cpumask_read": "flush",
    "tlb_gen_inc": "flush", "mm_counter": "page", "update_hiwater_rss": "page",
    "page_remove_rmap": "page", "set_page_dirty": "page", "ptl_lock": "page", "rmap_lock": "page",
    "lock_anon_vma_read": "page", "mm_page_free": "free", "mm_page_free_batched": "free",
}
# ... and after it, until the next one: what is done, and whether that is waiting for somebody.
_AFTER = {
    "ipi_send": (None, True), "qi_submit_sync": ("iommu", True), "migrate_page_copy": ("copy", False),
    "free_unref_page_list": ("free", False), "mm_page_free_batched": ("free", False),
}
# What a batch does for all of its pages at once.
_SHARED_ENTRY = ("try_to_unmap_flush",)
_SHARED_POINT = ("free_unref_page_list", "mm_page_free", "mm_page_free_batched")

# Hardware: what begins with an event and lasts until the next of the same agent; None: nothing.
_HARDWARE_AFTER = {
    "iommu_descriptor": ("iommu", False), "iotlb_invalidated": None, "pasid_cache_invalidated": None,
    "ats_invalidate_request": ("atc", True), "ats_invalidate_done": None, "iommu_wait_done": None,
    "atc_invalidated": ("dma", True), "ats_invalidate_completion": None,
}
_HARDWARE_BEFORE = {"iotlb_invalidated": "iotlb", "pasid_cache_invalidated": "iotlb",
                    "iommu_wait_done": "iommu"}


@dataclasses.dataclass
class Box:
    begin: int
    end: int
    phase: str
    waits: bool = False
    label: str = ""


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


# ---- the initiator -----------------------------------------------------------------------------------
class _Initiator:
    """Divides the whole time of the operation on its CPU into phases."""

    def __init__(self, operation):
        self.own, self.batch, self.actor = operation.id, operation.batch, operation.id.split(".")[0]
        self.stack = []         # (event name, phase) of the entries of this operation
        self.shared = []        # likewise, of what the batch does for all
        self.boxes = []

    def owner(self, event):
        """Whose time begins with this event."""
        if event.op == self.own:
            return "own"
        if event.op == self.batch and event.ev not in ("op_begin", "op_end"):
            if self.shared or event.ev in _SHARED_ENTRY or event.ev in _SHARED_POINT:
                return "shared"
        if event.op and event.op.split(".")[0] != self.actor:
            return "interrupted"
        return "batch"

    @staticmethod
    def _follow(stack, event):
        if event.ev.endswith("_ret"):
            for depth in range(len(stack) - 1, -1, -1):
                if stack[depth][0] == event.ev[:-len("_ret")]:
                    del stack[depth:]
                    return
        elif event.ev in _ENTRY:
            stack.append((event.ev, _ENTRY[event.ev]))

    def step(self, event, following):
        """The time from one event of the CPU to the next one."""
        owner = self.owner(event)
        stack = self.shared if owner == "shared" else self.stack
        if owner in ("own", "shared"):
            self._follow(stack, event)
            phase, waits = self._phase(stack, event, following, self.owner(following) == owner)
        else:
            phase, waits = owner, owner == "batch"
        if owner == "batch" and not self.batch:
            phase, waits = "page", False
        add_box(self.boxes, Box(event.t, following.t, phase, waits))

    @staticmethod
    def _phase(stack, event, following, continues):
        around = stack[-1][1] if stack else "page"
        phase, waits = _AFTER.get(event.ev, (None, False))
        if phase or waits:
            return phase or around, waits
        if continues and following.ev in _BEFORE:
            return _BEFORE[following.ev], False
        return around, False


def add_box(boxes, box):
    """Appends a box; one that continues the last one becomes part of it."""
    if box.begin == box.end:
        return
    last = boxes[-1] if boxes else None
    if last and (last.end, last.phase, last.waits, last.label) == (box.begin, box.phase, box.waits,
                                                                   box.label):
        last.end = box.end
    else:
        boxes.append(box)


def initiator_boxes(operation, events):
    mine = [event for event in events if event.agent == operation.begin.agent]
    initiator = _Initiator(operation)
    for event, following in zip(mine, mine[1:]):
        initiator.step(event, following)
    return initiator.boxes


def parts_of(boxes):
    totals = {}
    for box in boxes:
        key = (box.phase, box.waits)
        totals[key] = totals.get(key, 0) + box.end - box.begin
    return [(phase, waits, total) for (phase, waits), total in
            sorted(totals.items(), key=lambda item: (list(PHASES).index(item[0][0]), item[0][1]))]


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


# ---- the others --------------------------------------------------------------------------------------
def cpu_boxes(events, end):
    """A CPU that serves the unmap: its handler, its flush, and the guest that it runs."""
    boxes, handler, guest_since, seen = [], None, None, False
    for event in events:
        if event.ev in ("call_function_entry", "call_function_single_entry"):
            handler = event.t
        elif event.ev == "flush_tlb_func" and handler is not None:
            add_box(boxes, Box(handler, event.t, "handler"))
            handler = event.t
        elif event.ev == "flush_tlb_func_ret" and handler is not None:
            add_box(boxes, Box(handler, event.t, "flushed"))
            handler = event.t
        elif event.ev == "call_function_ack" and handler is not None:
            add_box(boxes, Box(handler, event.t, "handler"))
            handler = None
        elif event.ev == "kvm_exit" and (guest_since is not None or not seen):
            add_box(boxes, Box(guest_since or 0, event.t, "guest"))
            guest_since, seen = None, True
        elif event.ev == "kvm_entry":
            guest_since, seen = event.t, True
    if guest_since is not None:
        add_box(boxes, Box(guest_since, end, "guest"))
    return boxes


def hardware_boxes(events):
    boxes = []
    for event, following in zip(events, events[1:]):
        phase, waits = _HARDWARE_AFTER.get(event.ev) or (None, False)
        phase = _HARDWARE_BEFORE.get(following.ev, phase) if not waits else phase
        if phase:
            add_box(boxes, Box(event.t, following.t, phase, waits))
    return boxes


# Moments that no box shows, and what to write at them.
_MARKED = {"kvm_exit": "exit", "kvm_vcpu_flush_tlb": "flush", "kvm_entry": "entry",
           "atc_invalidated": "ATC empty", "iotlb_invalidated": "IOTLB empty",
           "iommu_fault": "fault", "dma_fault": "fault"}


def taking_part(operation, events, arrows):
    """Events of other agents that belong to the unmap: of its operation, or caused by or a cause of
    one that does."""
    shared = _Initiator(operation)
    inside = set()
    flushing = False
    for event in events:
        if event.agent == operation.begin.agent:
            owner = shared.owner(event)
            if owner == "shared":
                shared._follow(shared.shared, event)
            flushing = bool(shared.shared)
            if owner in ("own", "shared"):
                inside.add(event)
        elif event.op == operation.id or (flushing and event.op == operation.batch):
            inside.add(event)
    chosen = []
    for rule, cause, effect in arrows:
        if cause in inside or effect in inside:
            inside |= {cause, effect}
            chosen.append((rule, cause, effect))
    return inside, chosen


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
        if "vcpu" in event.args and event.ev in ("kvm_entry", "kvm_exit", "kvm_vcpu_flush_tlb"):
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
            served = [e for e in mine if e in inside or e.ev in ("kvm_entry", "kvm_exit")]
            lane = Lane(agent, titles.get(agent, ""), cpu_boxes(served, length))
        else:
            served = [e for e in mine if e in inside]
            lane = Lane(agent, "", hardware_boxes(served))
        lane.marks = [(e.t, _MARKED[e.ev]) for e in served if e.ev in _MARKED]
        label_waits(lane.boxes, arrows, agent)
        lanes.append(lane)
    drawn = {lane.agent for lane in lanes}
    arrows = [a for a in arrows if a.source in drawn and a.target in drawn]
    return Picture(title_of(operation), length, lanes, arrows, parts, left_out, axis)
