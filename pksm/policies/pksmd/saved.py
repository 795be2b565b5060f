"""pksmd's state: what it is made of, and how one that goes on is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.engine import native
from pksm.engine.checksums import saved as checksums
from pksm.engine.settle import Settled
from pksm.engine.state import State, below, column, number
from pksm.policies.base import replace_engine
from pksm.policies.pksmd.quirks import QUIRKS
from pksm.policies.pksmd.tunables import Tunables
from pksm.policies.strict import StrictHost
from pksm.protocols import PageHost

if TYPE_CHECKING:
    from pksm.policies.pksmd.daemon import Pksmd

_LISTS = {"new": "_new", "rescan": "_rescan", "update": "_update", "deleted": "_deleted"}
_LIST_FLAGS = native.NEWLIST | native.RESCAN | native.CHECKSUM_LIST | native.DELLIST
_NUMBERS = {
    "sharers_due": "_sharers_due",
    "pages_to_scan": "_pages_to_scan",
    "fruitless": "_fruitless",
}
_OF_PERIOD = {"refresh_carry": "carry", "now_ms": "now_ms"}
_MOST_THREADS = 1024


def state_of(daemon: Any) -> State:
    """Return a Pksmd's state."""
    host, summing = daemon._host, daemon._summing
    period = summing._period
    return {
        "policy": "pksmd",
        "page_size": host.store.page_size,
        "tunables": daemon._tunables.as_dict(),
        "threads": summing.threads,
        "strict": daemon.host is not host,
        "window": daemon._window,
        "forest": daemon.items.forest,
        "checksum": checksums.state_of(summing.checksum, daemon._made_of),
        "period": None if period is None else list(period),
        "items": daemon.items.state(),
        "lists": {name: getattr(daemon, queue).ids() for name, queue in _LISTS.items()},
        "records": daemon._stable_anon.state(daemon.items),
        "cost": daemon.cost.state(),
        "may_have_lost": daemon._may_have_lost,
        "hung": daemon._merging.hung,
        **{name: getattr(daemon, attribute) for name, attribute in _NUMBERS.items()},
        **{name: getattr(daemon._period, attribute) for name, attribute in _OF_PERIOD.items()},
    }


def resumed(
    cls: type[Any],
    host: PageHost,
    state: State,
    checksum: Any,
    threads: int | None,
    observe: Callable[[Settled], object] | None,
) -> Any:
    """Return a Pksmd of this class that goes on from a state."""
    page_size = host.store.page_size
    assert state["policy"] == "pksmd", f"it is one of {state['policy']}"
    assert state["page_size"] == page_size, f"its pages have {state['page_size']} bytes, and the host's {page_size}"
    values = dict(state["tunables"])
    values["quirks"] = frozenset(values["quirks"])
    assert values["quirks"] <= QUIRKS.keys(), "a quirk that is none"
    replace_engine(host)
    daemon = cls(
        host,
        Tunables(**values),
        checksum=checksum or checksums.restored(state["checksum"], page_size),
        threads=number(state["threads"], 1, _MOST_THREADS) if threads is None else threads,
        window=number(state["window"], 1, native.MAX_WINDOW),
        forest=number(state["forest"], 0, native.MAX_FOREST_BITS),
        strict=bool(state["strict"]),
        observe=observe,
    )
    if state["checksum"]["kind"] == "made" and checksum is None:
        daemon._made_of = state["checksum"]["name"], state["checksum"]["seed"]
    _restore(daemon, state)
    daemon.check()
    return daemon


def _restore(daemon: Pksmd, state: State) -> None:
    """Put what was saved in place of what a new one has."""
    items = daemon.items
    lists = {name: column(state["lists"][name], np.uint32) for name in _LISTS}
    items.restore(state["items"])
    below(items.page[items.tracked()], daemon._host.store.n_pages)
    waiting = np.concatenate([lists["new"], lists["rescan"], lists["update"]])
    assert len(np.unique(waiting)) == len(waiting), "an item is on two lists"
    flags = items.flags
    listed = {name: getattr(daemon, queue)._c.flag for name, queue in _LISTS.items()}
    for name, flag in listed.items():
        below(lists[name], len(flags))
        assert np.array_equal(np.sort(lists[name]), np.flatnonzero(flags & flag)), f"list {name} and flags differ"
    flags &= np.uint16(0xFFFF ^ _LIST_FLAGS)
    for name, queue in _LISTS.items():
        getattr(daemon, queue).restore(lists[name])
    daemon._stable_anon.restore(items, state["records"])
    if isinstance(daemon._host, StrictHost):
        daemon._host.track(items.page[items.tracked()])
    for name, attribute in _NUMBERS.items():
        setattr(daemon, attribute, number(state[name]))
    for name, attribute in _OF_PERIOD.items():
        setattr(daemon._period, attribute, number(state[name]))
    period = state["period"]
    assert period is None or len(period) == 3
    daemon._summing._period = period and tuple(number(one) for one in period)
    daemon._may_have_lost = bool(state["may_have_lost"])
    daemon._merging.hung = str(state["hung"])
    daemon.cost.restore(state["cost"])
