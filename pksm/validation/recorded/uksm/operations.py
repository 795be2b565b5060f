"""The operations of a recording, done on the simulated machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.hosts.machine.content import pages_of

if TYPE_CHECKING:
    from pksm.arrays import IdsLike
    from pksm.hosts.machine.mm import Mm

PAGE_SIZE, WORDS = 4096, 1024
REGION, REGION_BYTES = 0x500000000000, 0x10000000
ADVICE = {4: "DONTNEED", 12: "MERGEABLE", 13: "UNMERGEABLE"}
PROT_WRITE = 2
MOST_PAGES = 1 << 22  # of a workload


class Region(NamedTuple):
    """Where a region of a process begins, and its pages."""

    address: int
    n: int


class Processes:
    """The processes of a workload by number, and where their regions are.

    machine: with room for it; refuses: operations that the kernel refused, by name.
    """

    def __init__(self, machine: Machine, refuses: set[str]) -> None:
        self.machine = machine
        self.mms: dict[int, Mm] = {}
        self._regions: dict[int, dict[int, Region]] = {}  # of each process
        self._shared: set[tuple[int, int]] = set()  # regions of shared memory, which nobody merges: left out
        self._refuses = refuses

    def do(self, operation: str) -> None:
        """Do one operation. UsageError for one that there is not; PksmError for one that can't be done."""
        name, *texts = operation.split()
        if name not in _OPERATIONS:
            raise UsageError(f"unknown operation {name!r}: choose from {', '.join(sorted(_OPERATIONS))}")
        if name in self._refuses:
            return
        try:
            numbers = [int(text) for text in texts]
            if name not in _ALONE and tuple(numbers[:2]) in self._shared:
                return
            _OPERATIONS[name](self, *numbers)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise PksmError(f"operation {operation[:60]!r}: of the wrong form ({error})") from None

    def _at(self, process: int, region: int, first: int = 0) -> tuple[Mm, int]:
        return self.mms[process], self._regions[process][region].address + first * PAGE_SIZE

    def _spawn(self, process: int) -> None:
        self.mms[process], self._regions[process] = self.machine.spawn(), {}

    def _fork(self, process: int, child: int) -> None:
        self.mms[child] = self.machine.fork(self.mms[process])
        self._regions[child] = dict(self._regions[process])

    def _exit(self, process: int) -> None:
        self.machine.exit(self.mms.pop(process))

    def _mmap(self, process: int, region: int, n: int, address: int = 0, stack: bool = False) -> None:
        address = address or REGION + region * REGION_BYTES
        self.machine.mmap(self.mms[process], n, address, stack=stack)
        self._regions[process][region] = Region(address, n)

    def _mmapshared(self, process: int, region: int, _: int) -> None:
        self._shared.add((process, region))

    def _stack(self, process: int, region: int, first: int, n: int, base: int, mod: int) -> None:
        self._mmap(process, region, first + n, stack=True)
        self._fill(process, region, first, n, base, mod)

    def _write(self, process: int, region: int, first: int, contents: IdsLike) -> None:
        self.machine.write(*self._at(process, region, first), contents)

    def _fill(self, process: int, region: int, first: int, n: int, base: int, mod: int) -> None:
        numbers = np.arange(n)
        self._write(process, region, first, base + (numbers % mod if mod else numbers))

    def _flist(self, process: int, region: int, first: int, _: int, *ids: int) -> None:
        self._write(process, region, first, list(ids))

    def _zero(self, process: int, region: int, first: int, n: int) -> None:
        self._write(process, region, first, [0] * n)

    def _vary(self, process: int, region: int, first: int, n: int, id: int, word: int, words: int, value: int) -> None:
        pages = np.repeat(pages_of([id]), n, axis=0)
        pages.view(np.uint32)[:, word : word + words] = (value + np.arange(n))[:, np.newaxis]
        self._write(process, region, first, pages)

    def _varyword(self, process: int, region: int, first: int, n: int, id: int, word: int, value: int) -> None:
        pages, numbers = np.repeat(pages_of([id]), n, axis=0), np.arange(n)
        pages.view(np.uint32)[numbers, (word + numbers) % WORDS] = value
        self._write(process, region, first, pages)

    def _stridew(self, process: int, region: int, first: int, n: int, word: int, step: int, value: int) -> None:
        rows = [(page, word, value) for page in range(0, n, step)]
        self.machine.patch(*self._at(process, region, first), rows)

    def _patch(self, process: int, region: int, page: int, word: int, value: int) -> None:
        self.machine.patch(*self._at(process, region, page), [(0, word, value)])

    def _touch(self, process: int, region: int, first: int, n: int) -> None:
        self.machine.touch(*self._at(process, region, first), n)

    def _munmap(self, process: int, region: int, first: int, n: int) -> None:
        self.machine.munmap(*self._at(process, region, first), n)

    def _madvise(self, process: int, region: int, first: int, n: int, advice: int) -> None:
        self.machine.madvise(*self._at(process, region, first), n, ADVICE[advice])

    def _mprotect(self, process: int, region: int, first: int, n: int, protection: int) -> None:
        self.machine.mprotect(*self._at(process, region, first), n, bool(protection & PROT_WRITE))

    def _mlock(self, process: int, region: int, first: int, n: int) -> None:
        self.machine.mlock(*self._at(process, region, first), n)

    def _munlock(self, process: int, region: int, first: int, n: int) -> None:
        self.machine.munlock(*self._at(process, region, first), n)

    def _mremap(self, process: int, region: int, first: int, n: int, address: int = 0) -> None:
        mm, at = self._at(process, region, first)
        moved = self.machine.mremap(mm, at, self._regions[process][region].n - first, address or None, n)
        if moved is not None:
            self._regions[process][region] = Region(moved - first * PAGE_SIZE, first + n)


_OPERATIONS: dict[str, Callable[..., None]] = {
    name[1:]: method for name, method in vars(Processes).items() if name.startswith("_") and name[1] != "_"
}
for _inner in ("at", "write"):
    del _OPERATIONS[_inner]


_ALONE = ("spawn", "fork", "exit")  # that name no region


def most_frames(operations: list[str]) -> int:
    """Return how many frames a workload can take at most. PksmError if that is too many."""
    pages: dict[str, int] = {}
    total = 0
    for operation in operations:
        name, *texts = operation.split()
        new = 0
        try:
            if name in ("mmap", "mmapshared"):
                new = int(texts[2])
            elif name in ("stack", "mremap"):
                new = int(texts[2]) + int(texts[3])
            elif name == "fork":
                new = pages.get(texts[0], 0)
        except (ValueError, IndexError):
            continue  # doing it reports what is wrong
        holder = texts[1] if name == "fork" else texts[0] if texts else ""
        pages[holder] = pages.get(holder, 0) + max(0, new)
        total += max(0, new)
    if total > MOST_PAGES:
        raise PksmError(f"a workload of {total:,} pages: at most {MOST_PAGES:,} can be played")
    return max(64, 2 * total)
