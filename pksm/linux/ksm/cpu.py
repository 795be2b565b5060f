"""The CPU time of ksmd, and the tick of the kernel's timer."""

import time

from pksm.errors import UnsupportedError
from pksm.linux import text
from pksm.linux.ksm import files

_CLOCK_MONOTONIC_COARSE = 6  # goes on with every tick


class CpuTime:
    """Reads the CPU time of ksmd. UnsupportedError where the kernel does not count it."""

    def __init__(self) -> None:
        self._path = f"/proc/{files.thread()}/schedstat"
        self.ns()

    def ns(self) -> int:
        """Return the ns that ksmd has run."""
        data = text.read_if_any(self._path) or b""
        number = text.number(data.split(b" ")[0])
        if number is None:
            raise UnsupportedError(f"{self._path}: does not count: this takes a kernel with CONFIG_SCHED_INFO")
        return number


def tick_ms() -> float:
    """Return the ms from one tick of the kernel's timer to the next."""
    return round(1000 * time.clock_getres(_CLOCK_MONOTONIC_COARSE), 6)
