"""What is in a recording, as the document pksm.record/1."""

import os
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from pksm.documents import Equals, RecordDocument, RecordedSpace
from pksm.recording.between import Part, part_of
from pksm.recording.events import Kind
from pksm.recording.reader import Recording, amount
from pksm.recording.state import State

SCHEMA: Final = "pksm.record/1"
PERCENTILES = (50, 90, 99)
POINTS = 400  # over time
ONE_SAMPLE = "one sample shows no writes: record for longer than the time between two samples"


def summary(
    path: str | os.PathLike[str],
    repaired: bool = False,
    interrupted: bool = False,
    warnings: Iterable[str] = (),
    between: str | None = None,
) -> RecordDocument:
    """Read a recording to its end and return what is in it.

    Args:
        path: of the file.
        repaired: whether it was repaired just now.
        interrupted: whether an interrupt has ended it just now.
        warnings: lines about it.
        between: the part of it that is looked at, as between.part_of takes it; None: all of it.

    Raises:
        UsageError: there is no such part.
        PksmError: it can't be read, or cannot have happened.
    """
    with Recording(path) as recording:
        part = part_of(recording, between) if between is not None else None
        state, points = _state_and_points(recording, part)
        until_ms = part.until_ms if part else recording.last_ms
        end = recording.end or {}
        unread = _number(end, "refused")
        why_unread = _lines(end, "unread")
        if unread and not why_unread:
            why_unread = [f"processes that could not be read, and are not in it: {unread:,}"]
        events = {kind.name.lower(): int(count) for kind, count in zip(Kind, state.counts, strict=True)}
        document: RecordDocument = {
            "schema": SCHEMA,
            "file": recording.path,
            "page_size": recording.page_size,
            "seconds": (until_ms - state.counted_from_ms) / 1000,
            "whole": recording.end is not None,
            "repaired": repaired,
            "interrupted": interrupted,
            "bytes": os.path.getsize(recording.path),
            "segments": len(recording.segments),
            "samples": _number(end, "samples"),
            "late": _number(end, "late"),
            "cpu_s": amount(end, "cpu_s"),
            "longest_s": amount(end, "longest_s"),
            "pages_read": _number(end, "pages_read"),
            "unread": unread,
            "partial": bool(why_unread),
            "events": events,
            "operations": dict(sorted(state.operations.items())),
            "most_pages": state.peak,
            "write_rate": state.write_rate(until_ms),
            "volatile_share": state.volatile_share(until_ms),
            "equals": equals(state, until_ms, recording.page_size),
            "points": points,
            "spaces": _spaces(state),
            "began": recording.began,
            "every_ms": _number(recording.header, "every_ms"),
            "track": _text(recording.header, "track"),
            "faults": _number(end, "faults"),
            "pause_s": amount(end, "pause_s"),
            "soft_dirty": _number(end, "soft_dirty"),
            "untracked": _number(end, "untracked"),
            "blind": _lines(recording.header, "blind"),
            "warnings": [
                *warnings,
                *([part.lacks] if part and part.lacks else []),
                *([ONE_SAMPLE] if _number(end, "samples") == 1 else []),
                *why_unread,
                *(f"{line}; its pages are compared by content" for line in _lines(end, "why_untracked")),
            ],
        }
        if part:
            document["between"], document["from_s"] = part.text, part.from_ms / 1000
        return document


def equals(state: State, until_ms: int, page_size: int) -> Equals:
    """Return how long pages have had equals, up to a time at which a state is still as it is."""
    lives = state.lives
    lives.at(until_ms)
    lasting, counted_ms = lives.lasting(), until_ms - state.counted_from_ms
    return {
        "mean_bytes": round(lives.spare_ms / counted_ms * page_size) if counted_ms else 0,
        "ended": int(lives.ended.counts.sum()),
        "ended_s": lives.ended.percentiles(*PERCENTILES),
        "lasting": int(lasting.counts.sum()),
        "lasting_s": lasting.percentiles(*PERCENTILES),
    }


def _state_and_points(recording: Recording, part: Part | None) -> tuple[State, list[list[float]]]:
    """Return the state at the end, and [seconds, bytes resident, bytes that merging could save] on the way there."""
    from_ms, until_ms = (part.from_ms, part.until_ms) if part else (0, recording.last_ms)
    points, page_size = [[from_ms / 1000, 0, 0]], recording.page_size
    every = max(1, (until_ms - from_ms) // POINTS)

    def note(state: State) -> None:
        point = [state.ms / 1000, state.pages * page_size, state.lives.spare * page_size]
        if points[-1][0] * 1000 // every == state.ms // every:
            points[-1] = point
        else:
            points.append(point)

    return recording.state_at(until_ms, seen=note, from_ms=part and part.from_ms), points


def _spaces(state: State) -> list[RecordedSpace]:
    zero: dict[int, int] = {}  # of what spaces hold, which forks share
    for space in state.spaces.values():
        if id(space.held) not in zero:
            zero[id(space.held)] = int(np.count_nonzero(space.contents == 0))
    return [
        {
            "space": number,
            "pid": space.pid,
            "name": space.name,
            "pages": len(space.pages),
            "zero_pages": zero[id(space.held)],
        }
        for number, space in state.spaces.items()
    ]


def _number(said: dict[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if type(value) is int else None


def _text(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) else None


def _lines(said: dict[str, Any], name: str) -> list[str]:
    value = said.get(name)
    return [line for line in value if isinstance(line, str)] if isinstance(value, list) else []
