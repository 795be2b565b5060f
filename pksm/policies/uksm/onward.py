"""Wake-ups in one call of C: as long as uksmd only goes on with the slot of the last one, and nothing else happens.

What comes of them is what comes of as many calls of wake. Most wake-ups of large memory are such: the slowest rung visits
a few hundred pages of a slot in each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pksm.engine import native
from pksm.policies.uksm import cpu, governors
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.ladder import Rung
from pksm.policies.uksm.visiting import MERGED
from pksm.protocols import Vmas

MOST_VISITS = 1 << 13  # in one call: for each of them there have to be spare ids
_MOST = 1 << 31  # of settings, so that C's numbers hold what comes of them


def rung_of(daemon: Any) -> Rung | None:
    """Return the rung whose slot the next wake-ups go on with; None if anything else may happen in the next one."""
    if type(daemon._course) is not Course or daemon._pending or daemon._tunables.run != 1:
        return None
    if daemon._pte_changes != daemon._host.pte_changes or daemon.eval_round % governors.ROUNDS_OF_MEAN == 0:
        return None
    busy = [rung for rung in daemon.rungs if rung.n]
    if len(busy) != 1 or busy[0].finished or max(busy[0].cover_ms, daemon._sleep_ms) > _MOST:
        return None
    return busy[0] if busy[0].quota < busy[0].left_of_pass else None


def wakes(daemon: Any, rung: Rung, most: int) -> tuple[int, int]:
    """Make up to `most` wake-ups of this rung. Return how many, and their visits."""
    slot = rung.slots[rung.current]
    assert slot is not None
    vmas = daemon._host.private_vmas()
    if not _as_before(daemon, vmas):
        return 0, 0
    n = min(rung.left_of_pass, most * rung.quota, MOST_VISITS)
    if n < 2 * rung.quota:
        return 0, 0
    before = daemon._tables.work.copy()
    pace = _pace(daemon, rung, slot, most)
    outs, _, merged, error = daemon._visitor.wake(slot, n, pace)
    if merged:
        daemon._disturb()
    daemon._advance(slot, len(outs), merged)
    rung.offset = int(pace.offset)
    daemon.sleep_times, daemon.page_ns = int(pace.sleep_times), int(pace.page_ns)
    visits, kept = int(pace.visits), int(np.count_nonzero(outs == MERGED))
    daemon._done = cpu.Done(visits, int(pace.no_page), kept, 0, 0, 0)
    daemon._worked(before)
    daemon._enter_slots(vmas)
    daemon._sleep_ms = int(pace.sleep_ms)
    daemon._set_quotas()
    daemon._pause_ms, daemon._pte_changes = int(pace.pause_ms), daemon._host.pte_changes
    if error:  # in a wake-up that did not come to its end
        raise error
    return int(pace.wakes), visits


def _as_before(daemon: Any, vmas: Vmas) -> bool:
    """Return whether these are the vmas that there are slots of."""
    touched = vmas.is_touched
    columns = (column[touched].tolist() for column in (vmas.key, vmas.first, vmas.n))
    keys = set(zip(*columns, strict=True))
    return keys == daemon.slots.by_key.keys()


def _pace(daemon: Any, rung: Rung, slot: Any, most: int) -> Any:
    return native.uksm_pace({
        "page_ns": daemon.page_ns,
        "sleep_ms": daemon._sleep_ms,
        "user_sleep_ms": daemon._tunables.sleep_millisecs,
        "sleep_times": daemon.sleep_times,
        "quota": rung.quota,
        "step": rung.step,
        "offset": rung.offset,
        "cursor": slot.cursor,
        "slot_pages": slot.n,
        "pages": rung.pages,
        "cover_ms": rung.cover_ms,
        "ratio": rung.ratio,
        "slowest_ratio": daemon.rungs[0].ratio,
        "first_page_ns": governors.FIRST_PAGE_NS,
        "most_page_ns": governors.MOST_PAGE_NS,
        "batch_ns": cpu.BATCH_NS,
        "no_page_ns": cpu.NO_PAGE_NS,
        "page_visit_ns": cpu.PAGE_NS,
        "search_ns": cpu.SEARCH_NS,
        "compare_ns": cpu.COMPARE_NS,
        "word_ns": cpu.WORD_NS,
        "most_wakes": most,
    })  # fmt: skip
