# SPDX-License-Identifier: Apache-2.0
"""What every agent does at every moment of an unmap, from its events: boxes, each with a phase.

Sourced by unmap_layout.py. Standard library only.
"""
import dataclasses

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
    "dma": "ATC searched, DMA in flight drains",
}

# The phase from an entry to its return, unless something more special is inside. What is not here is
# part of whatever is around it.
ENTRY = {
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
BEFORE = {
    "pte_clear_defer": "pte", "pte_clear": "pte", "pte_set": "pte", "pte_set_swap": "pte",
    "pte_set_migration": "pte", "pte_restore": "pte", "ubc_tlb_gen_inc": "flush",
    "ubc_flush_required": "flush", "ubc_batched_set": "flush", "mm_cpumask_read": "flush",
    "tlb_gen_inc": "flush", "mm_counter": "page", "update_hiwater_rss": "page",
    "page_remove_rmap": "page", "set_page_dirty": "page", "ptl_lock": "page", "rmap_lock": "page",
    "lock_anon_vma_read": "page", "mm_page_free": "free", "mm_page_free_batched": "free",
}
# ... and after it, until the next one: what is done, and whether that is waiting for somebody.
AFTER = {
    "ipi_send": (None, True), "iqt_write": ("iommu", True), "migrate_page_copy": ("copy", False),
    "free_unref_page_list": ("free", False), "mm_page_free_batched": ("free", False),
}
# What a batch does for all of its pages at once.
SHARED_ENTRY = ("try_to_unmap_flush",)
SHARED_POINT = ("free_unref_page_list", "mm_page_free", "mm_page_free_batched")

# Hardware: what begins with an event and lasts until the next of the same agent; None: nothing.
HARDWARE_AFTER = {
    "iommu_descriptor": ("iommu", False), "iotlb_invalidated": None, "pasid_cache_invalidated": None,
    "ats_invalidate_request": ("atc", True), "ats_invalidate_done": None, "iommu_wait_done": None,
    "atc_invalidated": ("dma", True), "ats_invalidate_completion": None,
}
IOTLB_DONE = ("iotlb_invalidated", "pasid_cache_invalidated")
# ... and what leads up to one, if nothing was waited for before.
HARDWARE_BEFORE = {
    "iotlb_invalidated": ("iotlb", False), "pasid_cache_invalidated": ("iotlb", False),
    "ats_invalidate_done": ("atc", True), "iommu_wait_done": ("iommu", False),
}

# Moments that no box shows, and what to write at them.
MARKED = {"vm_exit": "exit", "kvm_vcpu_flush_tlb": "flush", "kvm_entry": "entry",
           "atc_invalidated": "ATC empty", "iotlb_invalidated": "IOTLB empty",
           "iommu_fault": "fault", "dma_fault": "fault"}


@dataclasses.dataclass
class Box:
    begin: int
    end: int
    phase: str
    waits: bool = False
    label: str = ""


# ---- the initiator -----------------------------------------------------------------------------------
class _Initiator:
    """Divides the whole time of the operation on its CPU into phases."""

    def __init__(self, operation):
        self.own, self.batch, self.actor = operation.id, operation.batch, operation.id.split(".")[0]
        # Unmaps of pages take turns; all others run from begin to end, with whatever lies in them.
        self.contains = operation.kind != "unmap"
        self.stack = []         # (event name, phase) of the entries of this operation
        self.shared = []        # likewise, of what the batch does for all
        self.boxes = []

    def owner(self, event):
        """Whose time begins with this event."""
        if event.op == self.own:
            return "own"
        if self.contains and (not event.op or event.op.split(".")[0] == self.actor):
            return "own"
        if event.op == self.batch and event.ev not in ("op_begin", "op_end"):
            if self.shared or event.ev in SHARED_ENTRY or event.ev in SHARED_POINT:
                return "shared"
        if event.op and event.op.split(".")[0] != self.actor:
            return "interrupted"
        return "batch"

    @staticmethod
    def follow(stack, event):
        if event.ev.endswith("_ret"):
            for depth in range(len(stack) - 1, -1, -1):
                if stack[depth][0] == event.ev[:-len("_ret")]:
                    del stack[depth:]
                    return
        elif event.ev in ENTRY:
            stack.append((event.ev, ENTRY[event.ev]))

    def step(self, event, following):
        """The time from one event of the CPU to the next one."""
        owner = self.owner(event)
        stack = self.shared if owner == "shared" else self.stack
        if owner in ("own", "shared"):
            self.follow(stack, event)
            phase, waits = self._phase(stack, event, following, self.owner(following) == owner)
        else:
            phase, waits = owner, owner == "batch"
        if owner == "batch" and not self.batch:
            phase, waits = "page", False
        add_box(self.boxes, Box(event.t, following.t, phase, waits))

    @staticmethod
    def _phase(stack, event, following, continues):
        around = stack[-1][1] if stack else "page"
        phase, waits = AFTER.get(event.ev, (None, False))
        if phase or waits:
            return phase or around, waits
        if continues and following.ev in BEFORE:
            return BEFORE[following.ev], False
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
        elif event.ev == "vm_exit" and (guest_since is not None or not seen):
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
        phase, waits = HARDWARE_AFTER.get(event.ev) or (None, False)
        rested = event.ev in IOTLB_DONE and following.ev in IOTLB_DONE
        if not waits and not rested:
            phase, waits = HARDWARE_BEFORE.get(following.ev, (phase, waits))
        if phase:
            add_box(boxes, Box(event.t, following.t, phase, waits))
    return boxes


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
                shared.follow(shared.shared, event)
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
