"""cksm's state: what it is made of, and how one that goes on is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pksm.engine import native
from pksm.engine.memory import grown
from pksm.engine.state import State, below, column, number
from pksm.policies.base import replace_engine
from pksm.policies.cksm.spec import CksmSettings
from pksm.protocols import PageHost

NO_PLACE = 0xFFFFFFFF
_NUMBERS = {"merged": "_merged", "zero_merged": "_zero_merged", "scanned": "_scanned", "loops": "loops"}


def state_of(daemon: Any) -> State:
    """Return a Cksm's state."""
    return {
        "policy": "cksm",
        "page_size": daemon._host.store.page_size,
        "tunables": daemon._tunables.as_dict(),
        "seed": daemon._seed,
        "items": daemon.items.state(),
        "cost": daemon.cost.state(),
        "cursor": daemon._cursor.copy(),
        "item_of_page": daemon._item_of_page.copy(),
        "order": daemon._order[: daemon._n_order].copy(),
        "heads": [one.heads.copy() for one in daemon._buckets],
        **{name: int(getattr(daemon, attribute)) for name, attribute in _NUMBERS.items()},
    }


def resumed(cls: type[Any], host: PageHost, state: State) -> Any:
    """Return a Cksm of this class that goes on from a state."""
    page_size = host.store.page_size
    assert state["policy"] == "cksm", f"it is one of {state['policy']}"
    assert state["page_size"] == page_size, f"its pages have {state['page_size']} bytes, and the host's {page_size}"
    tunables = CksmSettings(**state["tunables"] | {"quirks": frozenset(state["tunables"]["quirks"])})
    replace_engine(host)
    daemon = cls(host, tunables, seed=number(state["seed"]))
    items = daemon.items
    items.restore(state["items"])
    below(items.page, max(1, host.store.n_pages))
    order = below(column(state["order"], np.uint32), items._top)
    daemon._order, daemon._n_order = grown(order, max(64, len(order))), len(order)
    listed = np.flatnonzero(order)
    daemon._n_listed = len(listed)
    place = items._columns["place"]
    place[:] = NO_PLACE
    place[order[listed]] = listed
    daemon._item_of_page = below(column(state["item_of_page"], np.uint32), items._top).copy()
    assert np.isin(order[listed], daemon._item_of_page).all(), "an entry of the list has no page"
    cursor = column(state["cursor"], native.CKSM_CURSOR).copy()
    assert len(cursor) == 1 and cursor["at"][0] <= len(order) and cursor["step"][0], "the walk stands nowhere"
    daemon._cursor[:] = cursor
    for one, heads, flag in zip(daemon._buckets, state["heads"], (native.UNSTABLE, native.STABLE), strict=True):
        assert len(heads) == len(one.heads), "a table has another size"
        one.heads[:] = below(column(heads, np.uint32), items._top)
        one.c.n_items = int(np.count_nonzero(items.flags & flag))
    for name, attribute in _NUMBERS.items():
        setattr(daemon, attribute, number(state[name]))
    daemon.cost.restore(state["cost"])
    daemon.check()
    return daemon
