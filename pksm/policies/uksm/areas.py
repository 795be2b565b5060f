"""How slots follow the vmas of a host: which leave their rungs, and which vmas get slots."""

from __future__ import annotations

from collections.abc import Sequence

from pksm.policies.uksm.ladder import Rung
from pksm.policies.uksm.slots import Slot, Slots
from pksm.protocols import Vmas


def leave(slots: Slots, rungs: Sequence[Rung], vmas: Vmas, page_ns: int) -> list[Slot]:
    """Take slots off their rungs whose vmas are gone, or have other bounds, and return them."""
    keys = set(zip(vmas.key.tolist(), vmas.first.tolist(), vmas.n.tolist(), strict=True))
    gone = [slot for key, slot in slots.by_key.items() if key not in keys]
    for slot in gone:
        rungs[slot.rung].leave(slot, page_ns)
    return gone


def enter(slots: Slots, slowest: Rung, vmas: Vmas, page_ns: int) -> None:
    """Put vmas that were written to on the slowest rung; and count the copies on write of those that have slots."""
    new = []
    for born, mm, first, n, is_touched, copied in zip(*(column.tolist() for column in vmas), strict=True):
        slot = slots.by_key.get((born, first, n))
        if slot is None and is_touched:
            slot = slots.add((born, first, n), mm, first, n)
            slot.copied_before = copied
            new.append(slot)
        elif slot is not None:
            slot.copied += copied - slot.copied_before
            slot.copied_before = copied
    slowest.enter(new, page_ns)
