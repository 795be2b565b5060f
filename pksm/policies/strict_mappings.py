"""A MappingHost whose answers are looked at, rule by rule of protocols.MappingHost, before ksmd goes by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pksm.arrays import AnyArray, BoolArray, I64Array, IntArray, Pages
from pksm.policies.strict import StrictHost, kind_of, require_rule
from pksm.protocols import NO_FRAME


class StrictMappings(StrictHost):
    """Stands between ksmd and a host. UsageError, which names the rule and the pages, where one breaks a rule."""

    def mergeable_mms(self) -> list[int]:
        """Return the host's mms that have opted in."""
        mms = self.checked.mergeable_mms()
        sound = isinstance(mms, list) and all(isinstance(mm, (int, np.integer)) for mm in mms)
        require_rule(sound, f"mergeable_mms: it must give a list of whole numbers, not {kind_of(mms)}")
        require_rule(len(set(mms)) == len(mms), f"mergeable_mms: an mm comes twice: {mms}")
        return list(mms)

    def next_mapped(self, mm: int, first: int, n: int) -> tuple[I64Array, Pages, bool]:
        """Return the host's next mapped pages."""
        answer = self.checked.next_mapped(mm, first, n)
        sound = isinstance(answer, tuple) and len(answer) == 3
        require_rule(sound, "next_mapped: it must give virtual pages, pages, and whether they are the last")
        virtual_pages, pages, at_end = answer
        self._column("next_mapped: virtual pages", virtual_pages, np.int64)
        self._column("next_mapped: pages", pages, np.uint32)
        require_rule(
            len(pages) == len(virtual_pages) <= n,
            f"next_mapped: {len(virtual_pages)} virtual pages with {len(pages)} pages, where {n} were asked for",
        )
        require_rule(isinstance(at_end, (bool, np.bool_)), f"next_mapped: {at_end!r} does not say whether that is all")
        before = virtual_pages[virtual_pages < first]
        require_rule(not len(before), f"next_mapped: virtual pages in front of {first}", before)
        require_rule(
            bool((np.diff(virtual_pages) > 0).all()), "next_mapped: virtual pages that do not ascend", virtual_pages
        )
        self._in_store("next_mapped", pages)
        return virtual_pages, pages, bool(at_end)

    def frames_at(self, mms: IntArray, virtual_pages: I64Array) -> Pages:
        """Return the host's pages at addresses."""
        pages: Pages = self.checked.frames_at(mms, virtual_pages)
        self._column("frames_at: pages", pages, np.uint32)
        require_rule(
            len(pages) == len(virtual_pages), f"frames_at: {len(pages)} pages for {len(virtual_pages)} addresses"
        )
        self._in_store("frames_at", pages[pages != NO_FRAME])
        return pages

    def merge_ptes(self, mms: IntArray, virtual_pages: I64Array, pages: Pages, kpages: Pages) -> BoolArray | None:
        """Have the host merge ptes."""
        refused: BoolArray | None = self.checked.merge_ptes(mms, virtual_pages, pages, kpages)
        self._moved("merge_ptes", mms, virtual_pages, pages, refused, kpages)
        return refused

    def merge_zero_ptes(self, mms: IntArray, virtual_pages: I64Array, pages: Pages) -> BoolArray | None:
        """Have the host merge ptes with the zero page."""
        refused: BoolArray | None = self.checked.merge_zero_ptes(mms, virtual_pages, pages)
        self._moved("merge_zero_ptes", mms, virtual_pages, pages, refused, None)
        return refused

    def _moved(
        self,
        call: str,
        mms: IntArray,
        virtual_pages: I64Array,
        pages: Pages,
        refused: BoolArray | None,
        kpages: Pages | None,
    ) -> None:
        """Look at where ptes lead now."""
        mask = self._mask(call, pages, refused)
        now = self.frames_at(mms, virtual_pages)
        stray = pages[mask & (now != pages)]
        require_rule(not len(stray), f"{call}: ptes of pages that were refused lead elsewhere now", stray)
        left = (now == pages) if kpages is None else (now != kpages)
        require_rule(
            not (left & ~mask).any(), f"{call}: ptes of pages that were merged lead elsewhere", pages[left & ~mask]
        )

    def unmerge_opted_in(self, mms: Iterable[int]) -> Iterator[int]:
        """Have the host unmerge."""
        mms = list(mms)
        for mm in self.checked.unmerge_opted_in(mms):
            require_rule(mm in mms, f"unmerge_opted_in: it yields mm {mm}, which was not asked for")
            yield mm

    def is_alive(self, mm: int) -> bool:
        """Return whether the host says that an mm has not exited."""
        return self._truth("is_alive", self.checked.is_alive(mm))

    def has_opted_in(self, mm: int) -> bool:
        """Return whether the host says that an mm has opted in."""
        return self._truth("has_opted_in", self.checked.has_opted_in(mm))

    def zero_ptes_of(self, mm: int) -> int:
        """Return the host's count of ptes of the zero page."""
        count: int = self.checked.zero_ptes_of(mm)
        require_rule(isinstance(count, (int, np.integer)) and count >= 0, f"zero_ptes_of: {count!r} is not a count")
        return count

    def _truth(self, call: str, answer: Any) -> bool:
        require_rule(isinstance(answer, (bool, np.bool_)), f"{call}: {answer!r} is neither True nor False")
        return bool(answer)

    def _column(self, what: str, array: Any, dtype: Any) -> None:
        sound = isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == 1
        require_rule(sound, f"{what}: a one-dimensional {np.dtype(dtype)} array, not {kind_of(array)}")

    def _in_store(self, call: str, pages: AnyArray) -> None:
        outside = pages[pages >= self.store.n_pages]
        require_rule(not len(outside), f"{call}: pages that are not in the store", outside)
