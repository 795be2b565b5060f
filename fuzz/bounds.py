"""The oracle of all targets in Python: a result, or one line of ours, in memory and time that the input's size allows."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

from pksm.errors import PksmError

# What one input may take: so much, and so much per byte of it. A page of a kdump takes 24 bytes of its file.
MEMORY_BYTES, MEMORY_BYTES_PER_BYTE = 64 << 20, 256
CPU_SECONDS, CPU_SECONDS_PER_MIB = 1.0, 16.0
CLEAR_REFS, RESET_PEAK = Path("/proc/self/clear_refs"), b"5"  # the peak of our memory is what it is now

Run = Callable[[bytes], object]


class BoundError(AssertionError):
    """An input took more memory or time than its size allows."""


def attempt(run: Run, data: bytes) -> None:
    """Let a target have an input.

    Args:
        run: reads the input; raises AssertionError for a result that can't be right.
        data: the input.

    Raises:
        BoundError: it took too much, twice: the first time may have loaded modules.
        AssertionError: an error of ours has several lines, or none.
        Exception: whatever else the target let out.
    """
    if _cost(run, data) and (excess := _cost(run, data)):
        raise BoundError(excess)


def memory_bound(size: int) -> int:
    """Return the bytes of memory that an input of `size` bytes may take."""
    return MEMORY_BYTES + MEMORY_BYTES_PER_BYTE * size


def cpu_bound(size: int) -> float:
    """Return the seconds of CPU that an input of `size` bytes may take."""
    return CPU_SECONDS + CPU_SECONDS_PER_MIB * size / (1 << 20)


def _cost(run: Run, data: bytes) -> str:
    """Run once and return what was too much, "" if nothing was."""
    CLEAR_REFS.write_bytes(RESET_PEAK)
    memory, cpu = _peak_bytes(), time.process_time()
    _run(run, data)
    cpu, memory = time.process_time() - cpu, _peak_bytes() - memory
    if memory > memory_bound(len(data)):
        return f"{len(data)} bytes took {memory >> 20} MiB of memory: over {memory_bound(len(data)) >> 20} MiB"
    if cpu > cpu_bound(len(data)):
        return f"{len(data)} bytes took {cpu:.1f} s of CPU: over {cpu_bound(len(data)):.1f} s"
    return ""


def _run(run: Run, data: bytes) -> None:
    try:
        run(data)
    except PksmError as error:
        lines = str(error).split("\n")
        assert len(lines) == 1 and lines[0], f"an error of {len(lines)} lines: {str(error)!r}"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
