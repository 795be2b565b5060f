"""What others ask of ksmd: counters, whether it is at rest, its state, what would merge, whether all is sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from pksm.arrays import BoolArray, Contents
from pksm.engine import native
from pksm.engine.exclusive import exclusive
from pksm.engine.searching import would_share
from pksm.engine.state import State, sound_state
from pksm.policies.daemon import Daemon
from pksm.policies.ksmd import saved
from pksm.policies.ksmd.counters import ITEM_BYTES, MM_SLOT_BYTES, STABLE_NODE_BYTES
from pksm.policies.ksmd.items import Mappings
from pksm.policies.ksmd.tunables import KsmTunables
from pksm.protocols import MappingHost


class Questions(Daemon):
    """The part of Ksmd that answers."""

    _host: MappingHost
    _tunables: KsmTunables
    items: Mappings
    full_scans: int
    _scanned: int
    _skipped: int
    _stale: int  # pages met changed, or new, in the last full scan
    _last: dict[str, int] | None  # counters at the end of the last full scan
    _before: dict[str, int] | None  # and of the one before
    _slots: list[int]  # mms in order of visit
    _pte_changes: int  # of the host, when the unstable tree was last right
    _checksum: native.Function | native.Known

    def _refresh_unstable(self) -> None:
        """Let waiting items know the pages they map now."""
        raise NotImplementedError

    def counters(self) -> dict[str, int]:
        """Return the counters as {name: int}; meanings in ksmd.counters.COUNTERS."""
        items, zero, counts = self.items, self._host.pages_zero_sharing, self.items.counts()
        shared, sharing, n_items = counts["shared"], counts["sharing"], items.n_items
        unshared = items.n_unstable + counts["passed"]
        return {
            "pages_shared": shared,
            "pages_sharing": sharing,
            "pages_unshared": unshared,
            "pages_volatile": max(0, n_items - shared - sharing - unshared),
            "pages_scanned": self._scanned,
            "pages_skipped": self._skipped,
            "full_scans": self.full_scans,
            "ksm_zero_pages": zero,
            "stable_node_chains": counts["chains"],
            "stable_node_dups": counts["dups"],
            "general_profit": (sharing + zero) * self._host.store.real_page_size - n_items * ITEM_BYTES,
            "rmap_items": n_items,
        }

    def process_stat(self, mm: int) -> dict[str, int]:
        """Return what /proc/PID/ksm_stat says of an mm, by its id: {name: int}."""
        ids = self.items.of(mm)
        nodes = self.items.link[ids]
        merging = int(np.count_nonzero(nodes[(self.items.flags[nodes] & native.RETIRED) == 0]))
        zero = self._host.zero_ptes_of(mm)
        return {
            "ksm_rmap_items": len(ids),
            "ksm_zero_pages": zero,
            "ksm_merging_pages": merging,
            "ksm_process_profit": (merging + zero) * self._host.store.real_page_size - len(ids) * ITEM_BYTES,
        }

    @property
    def metadata_bytes(self) -> int:
        """Bytes that a kernel's rmap_items, stable nodes and mm_slots take."""
        items, counts = self.items, self.items.counts()
        nodes = STABLE_NODE_BYTES * (counts["shared"] + counts["chains"])
        return ITEM_BYTES * items.n_items + nodes + MM_SLOT_BYTES * len(self._slots)

    @property
    def engine_bytes(self) -> Any:
        """Bytes of everything kept here about mappings and stable pages."""
        return self.items.nbytes

    @property
    def at_rest(self) -> bool:
        """True when the last two full scans ended with the same counts, those of work left out, and met no change."""
        return self._last is not None and self._last == self._before and not self._stale

    def __repr__(self) -> str:
        items = self.items
        shared = f"{items.shared:,} shared, {items.sharing:,} sharing, {items.n_unshared:,} unshared"
        rest = "at rest" if self.at_rest else "at work"
        return f"<{type(self).__name__} {self.preset}: {shared}, {items.n_items:,} pages, {rest}>"

    @exclusive
    def state(self) -> State:
        """Return all that it knows, but for its host's memory: dicts of arrays, numbers and words; see Pksmd.state."""
        self._require_asleep()
        return saved.state_of(self)

    @classmethod
    def resume(
        cls, host: MappingHost, state: State, *, checksum: native.AnyChecksum | str | Callable[..., Any] | None = None
    ) -> Self:
        """Return a Ksmd that goes on, call for call, as the one that returned this state would have.

        Args:
            host: in the state that it was in then, and attached to nobody else.
            state: as state() returned it, in this or another process.
            checksum: the one that it had, if that is neither pksm's nor registered.

        Raises:
            UsageError: the state is not sound, or that of another policy or host.
        """
        with sound_state("Ksmd"):
            return saved.resumed(cls, host, state, checksum)

    @exclusive
    def would_share(self, contents: Contents) -> BoolArray:
        """Return which pages would merge if they were mapped and opted in now, with those visited. Nothing changes.

        As Pksmd.would_share; a zero page by itself only if use_zero_pages is set.
        """
        store = self._host.store
        given = self._pages_given(contents)
        by_zero = bool(self._tunables.use_zero_pages)
        self._refresh_unstable()
        return would_share(store, self.items, "content", self._checksum, given, self._host.classes, by_zero)

    @exclusive
    def check(self) -> None:
        """Raise AssertionError or TreeError unless trees, lists, stable nodes and counts agree."""
        self.items.check()
        assert set(self.items.mms()) <= set(self._slots), "items of an mm without a slot"
        if self._host.pte_changes == self._pte_changes:
            ids = self.items.where(np.flatnonzero(self.items.flags & native.UNSTABLE), native.DELLIST, 0)
            frames = self._host.frames_at(self.items.mm[ids], self.items.virtual_page[ids])
            assert np.array_equal(frames, self.items.page[ids]), "a waiting item maps another page meanwhile"
