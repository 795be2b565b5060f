"""Moving and losing frames, as whoever plays the kernel asks for it: swap, migration, huge pages (holding: hold.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pksm.engine.exclusive import exclusive
from pksm.hosts.machine import fault, mapping, move, thp

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm


class Moving:
    """The part of a Machine that moves frames."""

    @exclusive
    def swap_out(self: Any, mm: Mm, address: int, n: int) -> int:
        """Swap out the frames that n pages map, from under all who map them; returns how many went.

        Busy and mlocked ones stay. They come back when they are read or written.
        """
        return move.swap_out(self, mapping.frames_in(self, mm, *self._range(mm, address, n)))

    @exclusive
    def swap_in(self: Any, mm: Mm, address: int, n: int) -> None:
        """Bring those of n pages back that are swapped out."""
        first, end = self._range(mm, address, n)
        self.frames.require(fault.frames_to_read(self, mm, first, end))
        for pages, slots in self.tables.existing(mm.root, first, end):
            pages = pages[self.tables.ptes[slots] != 0]
            if len(pages):
                fault.read_fault(self, mm, pages)

    @exclusive
    def migrate(self: Any, mm: Mm, address: int, n: int) -> int:
        """Move the pages that n pages map to other frames; returns how many moved. Busy ones stay."""
        return move.migrate(self, mapping.frames_in(self, mm, *self._range(mm, address, n)))

    @exclusive
    def thp_fault(self: Any, mm: Mm, address: int) -> None:
        """Write-fault 512 pages as a huge page; address: a multiple of that."""
        thp.thp_fault(self, mm, self._range(mm, address, 1)[0])

    @exclusive
    def thp_split(self: Any, mm: Mm, address: int, n: int = 1) -> None:
        """Split the huge pages that any of n pages belongs to."""
        thp.split_compound(self, mapping.frames_in(self, mm, *self._range(mm, address, n)))
