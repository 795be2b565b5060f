"""What can be done with an Mm itself: each call is the machine's of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pksm.arrays import Buffer, Contents, IdsLike, IntArray, U8Array
from pksm.protocols import Saved

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine
    from pksm.hosts.machine.mm import Mm


class Bound:
    """An Mm knows its machine. Addresses are in bytes, lengths n in pages; errors are those of the machine."""

    machine: Machine

    def _mm(self) -> Mm:
        return self  # type: ignore[return-value]  # the class that derives from this

    def fork(self) -> Mm:
        """Return a child: it shares all frames until one of the two writes."""
        return self.machine.fork(self._mm())

    def exit(self) -> None:
        """End it; nothing can be done with it any more."""
        self.machine.exit(self._mm())

    def mmap(
        self,
        n: int,
        address: int | None = None,
        *,
        writable: bool = True,
        mergeable: bool = False,
        stack: bool = False,
    ) -> int:
        """Map n pages of private anonymous memory and return their address; see Machine.mmap."""
        return self.machine.mmap(self._mm(), n, address, writable=writable, mergeable=mergeable, stack=stack)

    def munmap(self, address: int, n: int) -> None:
        """Unmap n pages; there may be holes among them."""
        self.machine.munmap(self._mm(), address, n)

    def mprotect(self, address: int, n: int, writable: bool) -> None:
        """Make n pages writable, or read-only."""
        self.machine.mprotect(self._mm(), address, n, writable)

    def madvise(self, address: int, n: int, advice: str) -> None:
        """Advise on n pages: DONTNEED, MERGEABLE or UNMERGEABLE."""
        self.machine.madvise(self._mm(), address, n, advice)

    def mlock(self, address: int, n: int) -> None:
        """Fault n pages in and keep them in memory."""
        self.machine.mlock(self._mm(), address, n)

    def munlock(self, address: int, n: int) -> None:
        """Let go of n pages that mlock keeps."""
        self.machine.munlock(self._mm(), address, n)

    def read(self, address: int, n: int = 1) -> U8Array:
        """Read n pages: uint8 (n, page_size), a copy."""
        return self.machine.read(self._mm(), address, n)

    def touch(self, address: int, n: int = 1, write: bool = False) -> None:
        """Read or write n pages without looking at or changing their bytes."""
        self.machine.touch(self._mm(), address, n, write)

    def write(self, address: int, contents: Contents, patches: IntArray | Sequence[Sequence[int]] = ()) -> None:
        """Write whole pages; see Machine.write."""
        self.machine.write(self._mm(), address, contents, patches)

    def write_at(self, addresses: IdsLike, contents: Contents) -> None:
        """Write whole pages that lie anywhere; see Machine.write_at."""
        self.machine.write_at(self._mm(), addresses, contents)

    def write_bytes(self, address: int, data: Buffer) -> None:
        """Write bytes, or the bytes of an array, to any address."""
        self.machine.write_bytes(self._mm(), address, data)

    def saved_by(self) -> Saved:
        """Return what merging saves on its pages, as Saved."""
        return self.machine.saved_by(self._mm())
