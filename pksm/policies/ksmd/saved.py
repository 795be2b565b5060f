"""ksmd's state: what it is made of, and how one that goes on is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pksm.engine.checksums import saved as checksums
from pksm.engine.state import State, below, column, number
from pksm.policies.base import replace_engine
from pksm.policies.ksmd.tunables import KsmTunables
from pksm.policies.strict import StrictHost
from pksm.protocols import MappingHost

_NUMBERS = {
    "full_scans": "full_scans",
    "fake_merges": "fake_merges",
    "freed": "_freed",
    "scanned": "_scanned",
    "skipped": "_skipped",
    "now_millisecs": "_now_millisecs",
    "at": "_at",
    "first": "_first",
    "pte_changes": "_pte_changes",
    "stale": "_stale",
    "stale_so_far": "_stale_so_far",
}
_ADVISOR = ("_cpu_ns", "_began_ms", "_booked_ms", "_seconds", "_change")


def state_of(daemon: Any) -> State:
    """Return a Ksmd's state."""
    checksum = daemon._known._batch if daemon._known else daemon._checksum
    return {
        "policy": "ksmd",
        "page_size": daemon._host.store.page_size,
        "strict": daemon._host.tracked() if isinstance(daemon._host, StrictHost) else None,
        "tunables": daemon._tunables.as_dict(),
        "checksum": checksums.state_of(checksum, daemon._made_of),
        "items": daemon.items.state(),
        "cost": daemon.cost.state(),
        "advisor": [getattr(daemon._advisor, name) for name in _ADVISOR],
        "slots": list(daemon._slots),
        "writes": daemon._writes,
        "in_order": daemon._in_order,
        "before": daemon._before,
        "last": daemon._last,
        **{name: int(getattr(daemon, attribute)) for name, attribute in _NUMBERS.items()},
    }


def resumed(cls: type[Any], host: MappingHost, state: State, checksum: Any) -> Any:
    """Return a Ksmd of this class that goes on from a state."""
    page_size = host.store.page_size
    assert state["policy"] == "ksmd", f"it is one of {state['policy']}"
    assert state["page_size"] == page_size, f"its pages have {state['page_size']} bytes, and the host's {page_size}"
    given = checksum or checksums.restored(state["checksum"], page_size)
    replace_engine(host)
    daemon = cls(host, KsmTunables(**state["tunables"]), checksum=given, strict=state["strict"] is not None)
    if isinstance(daemon._host, StrictHost):
        daemon._host.track(below(column(state["strict"], np.uint32), host.store.n_pages))
    if state["checksum"]["kind"] == "made" and checksum is None:
        daemon._made_of = state["checksum"]["name"], state["checksum"]["seed"]
    daemon.items.restore(state["items"], host.store.n_pages)
    for name, attribute in _NUMBERS.items():
        setattr(daemon, attribute, number(state[name], -1))
    for name, value in zip(_ADVISOR, state["advisor"], strict=True):
        setattr(daemon._advisor, name, number(value))
    daemon._slots = [number(mm) for mm in state["slots"]]
    assert len(set(daemon._slots)) == len(daemon._slots) and daemon._at < max(1, len(daemon._slots)), "slots of mms"
    daemon._before, daemon._last = (_counters(state[name]) for name in ("before", "last"))
    daemon._writes = None if state["writes"] is None else number(state["writes"])
    daemon._in_order = bool(state["in_order"])
    daemon.cost.restore(state["cost"])
    daemon.check()
    return daemon


def _counters(value: Any) -> dict[str, int] | None:
    return None if value is None else {str(name): number(count, -(1 << 62)) for name, count in value.items()}
