"""When things happened in a recording: its operations and readings in one order.

A recording holds them in two lists. Waits that were recorded (series, settle) stand in both, and between two of them
the labels and times of readings show what came first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pksm.validation.recorded.uksm.recording import Recording

ANCHORS = {"series": "series", "settle": "settle", "showsysfs": "sysfs", "echo": "write"}
BEFORE_SCAN = "sysfs run 1"
Step = str | dict[str, Any]  # an operation, or a reading


def steps(recording: Recording) -> Iterator[Step]:
    """Yield the operations and the readings in the order in which they happened."""
    readings = iter(recording.readings)
    group: list[str] = []
    for operation in recording.operations:
        name = operation.split()[0]
        if name not in ANCHORS:
            group.append(operation)
            continue
        between: list[dict[str, Any]] = []
        anchor = None
        for reading in readings:
            if reading.get("k") == ANCHORS[name]:
                anchor = reading
                break
            between.append(reading)
        yield from _placed(group, between)
        group = []
        yield operation
        if anchor is not None:
            yield anchor
    yield from _placed(group, list(readings))


def _placed(operations: list[str], readings: list[dict[str, Any]]) -> Iterator[Step]:
    """Yield operations that nobody waited for, and the readings among them, in order."""
    places = _places(operations, readings)
    for place in range(len(operations) + 1):
        yield from (reading for reading, at in zip(readings, places, strict=True) if at == place)
        if place < len(operations):
            yield operations[place]


def _places(operations: list[str], readings: list[dict[str, Any]]) -> list[int]:
    """Return how many of the operations each reading comes after; never fewer than the one before it."""
    sleeps = [place for place, operation in enumerate(operations) if operation.startswith("sleep ")]
    start = next((reading["ms"] for reading in readings if "ms" in reading), 0)
    places: list[int] = []
    place, ms = 0, start
    for reading in readings:
        ms = reading.get("ms", ms)
        slept = start
        for at in sleeps:
            slept += int(operations[at].split()[1])
            if ms >= slept:
                place = max(place, at + 1)
        label = str(reading.get("phase", ""))
        if label.endswith("_now") or label.startswith("before"):
            end = min((at for at in sleeps if at >= place), default=len(operations))
            place = max(place, _end_of(operations[:end], label, place))
        places.append(place)
    return places


def _end_of(operations: list[str], label: str, place: int) -> int:
    """Return the place behind the last operation that a label names; if it names none, of all before scanning goes on."""
    named = [at for at in range(place, len(operations)) if operations[at].split()[0] in label]
    if named:
        return named[-1] + 1
    if BEFORE_SCAN in operations[place:]:
        return len(operations) - 1 - operations[::-1].index(BEFORE_SCAN)
    return len(operations)
