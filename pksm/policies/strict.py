"""A host whose answers are looked at, rule by rule of protocols.PageHost, before a policy goes by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pksm.arrays import BoolArray, IntArray, Pages, U8Array, U32Array
from pksm.errors import UsageError
from pksm.protocols import BUSY_PAGE, MLOCKED, WALK_LOSES, Policy

_SHOWN = 5  # page numbers in a message


class StrictHost:
    """Stands between a policy and a host. UsageError, which names the rule and the pages, where one breaks a rule."""

    def __init__(self, host: Any) -> None:
        self.checked = host
        self._store = host.store
        self._tracked = np.zeros(0, bool)  # by page number: reported as born, and not as dead
        self._policy: Any = None
        self._freed: list[IntArray] | None = None  # while a merge is under way

    def __getattr__(self, name: str) -> Any:
        return getattr(self.checked, name)

    # ---- what a policy asks ----

    def attach(self, policy: Policy) -> None:
        """Hear what the host says to this policy."""
        self._policy = policy
        self.checked.attach(self)

    @property
    def store(self) -> Any:
        """The host's store."""
        require_rule(self.checked.store is self._store, "store: it must be the same one always")
        return self._store

    @property
    def classes(self) -> U8Array | None:
        """The host's classes."""
        classes = self.checked.classes
        if classes is None:
            return None
        n = self._store.n_pages
        sound = isinstance(classes, np.ndarray) and classes.dtype == np.uint8 and classes.ndim == 1
        require_rule(sound, f"classes: it must be None or a uint8 array, not {kind_of(classes)}")
        require_rule(len(classes) >= n, f"classes: {len(classes)} entries for the {n} page numbers of the store")
        strange = np.flatnonzero((classes[:n] & (0xFF ^ MLOCKED)) > WALK_LOSES)
        require_rule(not len(strange), "classes: values that are not classes", strange)
        return classes

    def merge(self, pages: Pages, kpages: Pages) -> BoolArray | None:
        """Have the host merge."""
        return self._merged("merge", pages, kpages)

    def merge_zero(self, pages: Pages) -> BoolArray | None:
        """Have the host merge with the zero page."""
        return self._merged("merge_zero", pages)

    def _merged(self, call: str, pages: Pages, *kpages: Pages) -> BoolArray | None:
        before = self._counters()
        self._freed = []
        try:
            refused = getattr(self.checked, call)(pages, *kpages)
        finally:
            freed, self._freed = np.concatenate([*self._freed, np.empty(0, np.uint32)]), None
        mask = self._mask(call, pages, refused)
        gone, stay = pages[~mask], pages[mask]
        self._refused(call, stay)
        require_rule(
            not np.isin(stay, freed).any(), f"{call}: on_free named pages that were refused", _both(stay, freed)
        )
        for kept in kpages:
            dead = np.intersect1d(kept, freed)
            require_rule(not len(dead), f"{call}: on_free named kept pages", dead)
        missing = gone[~np.isin(gone, freed)]
        if len(missing):  # a host may free a frame later, and say so
            classes = self.classes
            later = np.zeros(len(missing), bool) if classes is None else (classes[missing] & (MLOCKED - 1)) == BUSY_PAGE
            require_rule(later.all(), f"{call}: on_free did not name pages that were merged", missing[~later])
        after = self._counters()
        for name, n, m in zip(("pages_sharing", "pages_zero_sharing"), before, after, strict=True):
            grows = name == ("pages_sharing" if kpages else "pages_zero_sharing")
            require_rule(
                m - n >= len(gone) if grows else m == n,
                f"{call}: {name} went from {n} to {m} when {len(gone)} pages were merged",
            )
        return refused

    def keep(self, pages: Pages) -> BoolArray | None:
        """Have the host keep pages."""
        refused = self.checked.keep(pages)
        self._mask("keep", pages, refused)
        return refused

    def anon_vma(self, pages: Pages) -> U32Array:
        """Return the host's anon_vmas."""
        anon_vmas = self.checked.anon_vma(pages)
        sound = isinstance(anon_vmas, np.ndarray) and anon_vmas.dtype == np.uint32 and anon_vmas.shape == pages.shape
        require_rule(
            sound, f"anon_vma: for {len(pages)} pages it must give a uint32 array of as many, not {kind_of(anon_vmas)}"
        )
        return anon_vmas

    def is_sharer(self, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
        """Return what the host says of sharers."""
        if not hasattr(self.checked, "is_sharer"):
            return np.ones(len(kpages), bool)
        answer = self.checked.is_sharer(kpages, anon_vmas)
        sound = isinstance(answer, np.ndarray) and answer.dtype == bool and answer.shape == kpages.shape
        require_rule(
            sound, f"is_sharer: for {len(kpages)} kpages it must give a bool array of as many, not {kind_of(answer)}"
        )
        return answer

    def _mask(self, call: str, pages: Pages, refused: Any) -> BoolArray:
        """Return which pages were refused."""
        if refused is None:
            return np.zeros(len(pages), bool)
        sound = isinstance(refused, np.ndarray) and refused.dtype == bool
        require_rule(sound, f"{call}: it must return None or a bool array, not {kind_of(refused)}")
        require_rule(refused.shape == pages.shape, f"{call}: {refused.shape} answers for {len(pages)} pages")
        return refused

    def _refused(self, call: str, pages: Pages) -> None:
        if not len(pages):
            return
        classes = self.classes
        require_rule(classes is not None, f"{call}: a host that refuses pages has to have classes", pages)
        assert classes is not None
        free = pages[(classes[pages] & (MLOCKED - 1)) == 0]
        require_rule(not len(free), f"{call}: pages were refused, and their class is FREE, not BUSY_PAGE", free)

    def _counters(self) -> tuple[int, int]:
        counts = self.checked.pages_sharing, self.checked.pages_zero_sharing
        for name, count in zip(("pages_sharing", "pages_zero_sharing"), counts, strict=True):
            require_rule(isinstance(count, (int, np.integer)) and count >= 0, f"{name}: {count!r} is not a count")
        return counts

    # ---- what a host says ----

    @property
    def opted_in_only(self) -> bool:
        """What the policy is."""
        return bool(self._policy.opted_in_only)

    @property
    def merges(self) -> bool:
        """What the policy does."""
        return bool(getattr(self._policy, "merges", False))

    def on_new(self, pages: Pages) -> None:
        """Hear of births."""
        self._sound("on_new", pages)
        known = pages[self._tracked[pages]]
        require_rule(not len(known), "on_new named pages that were alive already", known)
        self._tracked[pages] = True
        self._policy.on_new(pages)

    def on_free(self, pages: Pages) -> None:
        """Hear of deaths."""
        self._sound("on_free", pages)
        unknown = pages[~self._tracked[pages]]
        require_rule(not len(unknown), "on_free named pages that were not alive", unknown)
        self._tracked[pages] = False
        if self._freed is not None:
            self._freed.append(pages)
        self._policy.on_free(pages)

    def written(self, pages: Pages) -> None:
        """Hear of changes."""
        self._sound("written", pages)
        unknown = pages[~self._tracked[pages]]
        require_rule(not len(unknown), "written named pages that were not alive", unknown)
        self._policy.written(pages)

    def tracks(self, pages: Pages) -> BoolArray:
        """Return which of these pages were reported."""
        self._grow(self._store.n_pages)
        return self._tracked[pages]

    def tracked(self) -> Pages:
        """Return all pages that were reported, and are alive."""
        return np.flatnonzero(self._tracked).astype(np.uint32)

    def track(self, pages: Pages) -> None:
        """Take these pages as all that were reported so far."""
        self._tracked = np.zeros(self._store.n_pages, bool)
        self._tracked[pages] = True

    def moved(self, old: Pages, new: Pages) -> None:
        """Hear of pages that have moved."""
        self._policy.moved(old, new)

    def _sound(self, call: str, pages: Any) -> None:
        sound = isinstance(pages, np.ndarray) and pages.dtype == np.uint32 and pages.ndim == 1
        require_rule(sound, f"{call}: pages are a uint32 array, not {kind_of(pages)}")
        n = self.store.n_pages
        outside = pages[pages >= n]
        require_rule(not len(outside), f"{call}: pages that are not in the store", outside)
        self._grow(n)
        values, times = np.unique(pages, return_counts=True)
        require_rule(not (times > 1).any(), f"{call}: pages that come twice at once", values[times > 1])

    def _grow(self, n: int) -> None:
        if n > len(self._tracked):
            self._tracked = np.concatenate((self._tracked, np.zeros(n - len(self._tracked), bool)))


def _both(a: IntArray, b: IntArray) -> IntArray:
    return np.intersect1d(a, b)


def kind_of(value: Any) -> str:
    """Return what a value is, for messages."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def require_rule(kept: bool | np.bool_, rule: str, pages: IntArray | None = None) -> None:
    """Raise UsageError, with some of the pages, unless a rule is kept."""
    if kept:
        return
    if pages is not None and len(pages):
        shown = ", ".join(map(str, pages[:_SHOWN].tolist()))
        rule += f": {shown}{f' and {len(pages) - _SHOWN} more' if len(pages) > _SHOWN else ''}"
    raise UsageError(f"the host breaks a rule: {rule}")
