"""Recordings of kernels with UKSM beside ours, number by number; and why some differ.

What hangs on the order of visits is not a fault: where a number differs, the workload is played in other orders, too, and
the kernel's number must lie among those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pksm.policies.uksm.spec import UksmSettings
from pksm.validation.recorded.rows import Row
from pksm.validation.recorded.uksm.recording import Recording
from pksm.validation.recorded.uksm.replay import Number, Player

ORDERS = 20  # in which a workload is played besides, if a number differs


def compare(
    recordings: Sequence[Recording],
    settings: UksmSettings | None = None,
    orders: int = ORDERS,
    progress: Callable[[str], object] = lambda what: None,
) -> tuple[list[Row], dict[str, tuple[int, int]]]:
    """Play recordings. Return the Rows, and {kind of readings: (those exact in every counter, all)}.

    Args:
        recordings: of workloads.
        settings: in place of the preset of each kernel.
        orders: of visits to try besides, where a number differs.
        progress: called with what comes next.
    """
    rows: list[Row] = []
    readings: dict[tuple[str, int, str], bool] = {}
    for place, recording in enumerate(recordings):
        name = f"{recording.kernel}: {recording.w}"
        progress(name)
        numbers = Player(recording, 0, settings).play()
        for number in numbers:
            if number.kind:
                key = f"{recording.kernel} {number.kind}", place, number.phase
                readings[key] = readings.get(key, True) and number.kernel_value == number.ours
        notes = [""] * len(numbers)
        if any(number.kernel_value != number.ours for number in numbers):
            tried = [numbers]
            for seed in range(1, orders + 1):
                progress(f"{name}, order {seed} of {orders}")
                tried.append(Player(recording, seed, settings).play())
            notes = [_note(which) for which in zip(*tried, strict=True)]
        rows += [
            Row(recording.kernel, recording.w, one.phase, one.counter, one.kernel_value, one.ours, note)
            for one, note in zip(numbers, notes, strict=True)
        ]
    return rows, _agreement(readings)


def _note(numbers: Sequence[Number]) -> str:
    """Return why the first of these differs from the kernel's, if the others, of other orders, say so."""
    kernel_value, ours = numbers[0].kernel_value, [number.ours for number in numbers]
    low, high = min(ours), max(ours)
    if kernel_value == ours[0] or not low <= kernel_value <= high:
        return ""
    return f"hangs on the order of visits: {low:,} to {high:,} in {len(ours)} orders"


def _agreement(readings: dict[tuple[str, int, str], bool]) -> dict[str, tuple[int, int]]:
    def of(kind: str) -> Iterable[bool]:
        return [exact for key, exact in readings.items() if key[0] == kind]

    return {kind: (sum(of(kind)), len(list(of(kind)))) for kind in dict.fromkeys(key[0] for key in readings)}
