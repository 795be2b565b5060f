"""What others ask of pksmd: counters, whether it is at rest, its state, what would merge, whether all is sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from pksm.arrays import BoolArray, Contents
from pksm.engine import native
from pksm.engine.exclusive import exclusive
from pksm.engine.queues import IdQueue, IdQueues
from pksm.engine.searching import would_share
from pksm.engine.settle import Settled, class_of
from pksm.engine.state import State, sound_state
from pksm.engine.summing import Summing
from pksm.policies.daemon import Daemon
from pksm.policies.pksmd import saved
from pksm.policies.pksmd.counters import RMAP_ITEM_BYTES, STABLE_NODE_ANON_BYTES
from pksm.policies.pksmd.items import Items
from pksm.policies.pksmd.merging import Merging
from pksm.policies.pksmd.stable_anon import StableAnon
from pksm.policies.pksmd.tunables import Tunables
from pksm.protocols import PageHost

IN_ITS_TREE = native.UNSTABLE | native.DELLIST  # where flags under this are UNSTABLE
_NONE = np.empty(0, np.uint32)


class Questions(Daemon):
    """The part of Pksmd that answers, and changes nothing."""

    _host: PageHost
    _tunables: Tunables
    items: Items
    _new: IdQueue
    _rescan: IdQueue
    _update: IdQueue
    _deleted: IdQueue
    _lists: IdQueues
    _stable_anon: StableAnon
    _merging: Merging
    _summing: Summing
    _fruitless: int  # visits since the last wake-up in which an item did not have to wait again
    _may_have_lost: bool  # items, to a fault it has or had

    def counters(self) -> dict[str, int]:
        """Return the sysfs counters as {name: int}; meanings in pksmd.counters.COUNTERS."""
        return {
            "pages_shared": self.items.n_stable,
            "pages_sharing": self._host.pages_sharing + self._host.pages_zero_sharing,
            "pages_zero_sharing": self._host.pages_zero_sharing,
            "pages_unshared": self.items.n_unstable,
            "full_scans": 0,
            "stable_nodes": len(self._stable_anon),
            "rmap_items": len(self.items),
            "new_len": len(self._new),
            "rescan_len": len(self._rescan),
            "del_len": len(self._deleted),
        }

    @property
    def metadata_bytes(self) -> int:
        """Bytes that a kernel's rmap_items and stable_node_anon records take."""
        return RMAP_ITEM_BYTES * len(self.items) + STABLE_NODE_ANON_BYTES * len(self._stable_anon)

    @property
    def engine_bytes(self) -> int:
        """Bytes of everything kept here about pages: item table, rings, stable_node_anon records."""
        queues = (self._new, self._rescan, self._update, self._deleted)
        return self.items.nbytes + sum(queue.nbytes for queue in queues) + self._stable_anon.nbytes

    @property
    def hung(self) -> str:
        """Why it will never wake again, as published; "" while it does."""
        return self._merging.hung

    @property
    def at_rest(self) -> bool:
        """True when no page waits, or all that wait have been visited once more without effect."""
        if self._tunables.retry == "new":
            return self._fruitless >= len(self._new)
        return not len(self._new) and self._fruitless >= len(self._rescan)

    def __repr__(self) -> str:
        trees = f"{self.items.n_stable:,} stable, {self.items.n_unstable:,} unshared, {len(self.items):,} pages"
        return (
            f"<{type(self).__name__} {self.preset}: {trees}, {'at rest' if self.at_rest else self.hung or 'at work'}>"
        )

    @exclusive
    def state(self) -> State:
        """Return all that it knows, but for its host's memory and `observe`: dicts of arrays, numbers and words.

        With a copy of the host's state it is a checkpoint: resume goes on from there. UsageError while it is awake.
        """
        self._require_asleep()
        return saved.state_of(self)

    @classmethod
    def resume(
        cls,
        host: PageHost,
        state: State,
        *,
        checksum: native.AnyChecksum | str | Callable[..., Any] | None = None,
        threads: int | None = None,
        observe: Callable[[Settled], object] | None = None,
    ) -> Self:
        """Return a Pksmd that goes on, call for call, as the one that returned this state would have.

        Args:
            host: in the state that it was in then, and attached to nobody else.
            state: as state() returned it, in this or another process.
            checksum: the one that it had, if that is neither pksm's nor registered.
            threads: as of a new one; None for as many as it had.
            observe: as of a new one.

        Raises:
            UsageError: the state is not sound, or that of another policy or host.
        """
        with sound_state("Pksmd"):
            return saved.resumed(cls, host, state, checksum, threads, observe)

    @exclusive
    def would_share(self, contents: Contents) -> BoolArray:
        """Return which pages would merge if they were added now, with the pages that were visited. Nothing changes.

        A zero page would; another one if its bytes are those of a page in one of the trees that can be merged now. Pages
        that wait for their first visit, or to be visited again, are not looked at. O(n log pages).

        Args:
            contents: as the host's write takes them: bytes, a uint8 array (n, page_size), or content ids, one per page.

        Returns:
            bool (n,).
        """
        store = self._host.store
        given = self._pages_given(contents)
        return would_share(
            store, self.items, self._tunables.order, self._summing.checksum, given, self._host.classes, True
        )

    @exclusive
    def check(self) -> None:
        """Raise AssertionError or TreeError unless trees, lists, records and pages agree."""
        unchanged_since = self._host.store.view if self._tunables.order == "checksum" else None
        self.items.check(self._tunables.order, unchanged_since)
        self._deleted.check()
        ids = self.items.tracked() if not self._may_have_lost else _NONE
        classes = class_of(self._host.classes, self.items.page[ids])
        self._lists.check(self.items, ids[classes != native.BUSY_PAGE])  # a busy one may be merged, and not yet free
        listed = self._update.ids()  # a hang leaves the dead where they were
        treeless = listed[(self.items.flags[listed] & IN_ITS_TREE) == 0]
        merged = class_of(self._host.classes, self.items.page[treeless]) == native.BUSY_PAGE  # and not yet free
        assert merged.all(), "an item on the update list is in no tree"
        ids = native.tree_items(self.items.table, native.UNSTABLE)
        alone = self.items.where(ids, native.CHECKSUM_LIST | native.DELLIST, 0)
        assert not len(alone) or self._tunables.update == "on-search", "an unstable item is not on the update list"
        self._stable_anon.check(self.items)
