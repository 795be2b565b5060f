"""The anon_vmas of a FlatHost: whose pages are mapped where, and how many references each has."""

from typing import Any

import numpy as np

from pksm.arrays import BoolArray, IdsLike, Pages, U32Array
from pksm.engine import native
from pksm.engine.exclusive import exclusive
from pksm.engine.native import ids_array
from pksm.errors import UsageError
from pksm.protocols import NO_FRAME


class FlatAnonVmas:
    """The part of a FlatHost that knows anon_vmas."""

    def anon_vma(self: Any, pages: Pages) -> U32Array:
        """Return the anon_vma of each page."""
        return self._anon_vma[self._known(pages)]

    def is_sharer(self: Any, kpages: Pages, anon_vmas: U32Array) -> BoolArray:
        """Return whether a page of anon_vmas[i] is mapped to the frame kpages[i]."""
        kpages, anon_vmas = self._known(kpages), ids_array(anon_vmas)
        mapped = self.frame_of < NO_FRAME
        there = self.frame_of[mapped].astype(np.uint64) << np.uint64(32) | self._anon_vma[mapped]
        return np.isin(kpages.astype(np.uint64) << np.uint64(32) | anon_vmas, there)

    @exclusive
    def get_anon_vma(self: Any, anon_vmas: U32Array) -> None:
        """Take a reference on each anon_vma; one may repeat."""
        self._count(anon_vmas, 1)

    @exclusive
    def put_anon_vma(self: Any, anon_vmas: U32Array) -> None:
        """Drop a reference on each anon_vma; one may repeat."""
        self._count(anon_vmas, -1)

    def _count(self: Any, anon_vmas: IdsLike, by: int) -> None:
        try:
            native.tally(self._references, ids_array(anon_vmas), by)
        except ValueError:
            raise UsageError("an anon_vma that no page has had") from None
