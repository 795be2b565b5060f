"""Memory that we and a worker have in common: it fills a slot, and we take the pages over into memory of our own."""

import mmap
import os

from pksm.errors import PksmError, ShortageError
from pksm.linux import memory_limits

MOST_SLOTS = 1024


class Slots:
    """The slots. One is free until it is given out, and again when what is in it has been taken."""

    def __init__(self) -> None:
        self._memory: list[mmap.mmap] = []
        self._busy: list[bool] = []

    def give(self, size: int) -> tuple[int, int | None]:
        """Give out a slot of at least `size` bytes.

        Returns:
            Its number, and a descriptor of its memory if the worker does not know it: the caller's to close.

        Raises:
            ShortageError: there is not so much memory.
            PksmError: more slots than any reader takes.
        """
        free = [slot for slot, busy in enumerate(self._busy) if not busy]
        fitting = [slot for slot in free if len(self._memory[slot]) >= size]
        if fitting:
            self._busy[fitting[0]] = True
            return fitting[0], None
        if not free and len(self._memory) == MOST_SLOTS:
            raise PksmError("its reader asked for memory too often without using it")
        memory_limits.require(size)
        memory, fd = _shared(max(size, mmap.PAGESIZE))
        if free:
            self._memory[free[0]] = memory
        else:
            free = [len(self._memory)]
            self._memory.append(memory)
            self._busy.append(False)
        self._busy[free[0]] = True
        return free[0], fd

    def size(self, slot: int) -> int:
        """Return the bytes of a slot."""
        return len(self._memory[slot])

    def taken(self, slot: int) -> mmap.mmap:
        """Return the memory of a slot, which is free again once what is in it has been copied."""
        self._busy[slot] = False
        return self._memory[slot]

    def free_all(self) -> None:
        """Take all slots back."""
        self._busy = [False] * len(self._busy)


def _shared(size: int) -> tuple[mmap.mmap, int]:
    try:
        fd = os.memfd_create("pksm", os.MFD_CLOEXEC)
    except OSError as error:
        raise PksmError(f"no memory could be shared with the process that reads: {error.strerror}") from None
    try:
        os.ftruncate(fd, size)
        return mmap.mmap(fd, size), fd
    except (OSError, OverflowError, ValueError):
        os.close(fd)
        raise ShortageError(f"{size >> 20} MiB of memory are not to be had: take less at a time") from None
