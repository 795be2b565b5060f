"""Numbers that a recorded kernel counted, beside ours."""

from typing import NamedTuple


class Row(NamedTuple):
    """One number of a kernel, and ours. note: why they differ, as far as that is known."""

    kernel: str
    w: str
    phase: str
    counter: str
    kernel_value: int
    ours: int
    note: str
