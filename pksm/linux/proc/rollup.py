"""The sums of a process's mappings: /proc/PID/smaps_rollup."""

from collections.abc import Sequence

from pksm.linux import text


def rollup(pid: int, names: Sequence[str]) -> list[int]:
    """Return the fields of these names in KiB; 0 where the kernel or the process does not say."""
    data = text.read_if_any(f"/proc/{pid}/smaps_rollup") or b""
    return [text.kib(text.field(data, name)) or 0 for name in names]
