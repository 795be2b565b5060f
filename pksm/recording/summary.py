"""What is in a recording, as the document pksm.record/1."""

import os
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from pksm.documents import RecordDocument, RecordedSpace
from pksm.recording.events import Kind
from pksm.recording.reader import Recording
from pksm.recording.state import Space

SCHEMA: Final = "pksm.record/1"
ONE_SAMPLE = "one sample shows no writes: record for longer than the time between two samples"


def summary(
    path: str | os.PathLike[str], repaired: bool = False, interrupted: bool = False, warnings: Iterable[str] = ()
) -> RecordDocument:
    """Read a recording to its end and return what is in it.

    Args:
        path: of the file.
        repaired: whether it was repaired just now.
        interrupted: whether an interrupt has ended it just now.
        warnings: lines about it.

    Raises:
        PksmError: it can't be read, or cannot have happened.
    """
    with Recording(path) as recording:
        state = recording.check()
        end = recording.end or {}
        events = {kind.name.lower(): int(count) for kind, count in zip(Kind, state.counts, strict=True)}
        return {
            "schema": SCHEMA,
            "file": recording.path,
            "page_size": recording.page_size,
            "seconds": recording.last_ms / 1000,
            "whole": recording.end is not None,
            "repaired": repaired,
            "interrupted": interrupted,
            "bytes": os.path.getsize(recording.path),
            "segments": len(recording.segments),
            "samples": _number(end, "samples"),
            "late": _number(end, "late"),
            "cpu_s": _seconds(end, "cpu_s"),
            "longest_s": _seconds(end, "longest_s"),
            "pages_read": _number(end, "pages_read"),
            "unread": _number(end, "refused"),
            "events": events,
            "operations": dict(sorted(state.operations.items())),
            "most_pages": state.peak,
            "write_rate": state.write_rate(recording.last_ms),
            "spaces": [_space(number, space) for number, space in state.spaces.items()],
            "began": _seconds(recording.header, "began"),
            "every_ms": _number(recording.header, "every_ms"),
            "track": _text(recording.header, "track"),
            "faults": _number(end, "faults"),
            "pause_s": _seconds(end, "pause_s"),
            "untracked": _number(end, "untracked"),
            "blind": [line for line in _list(recording.header, "blind") if isinstance(line, str)],
            "warnings": [*warnings, *([ONE_SAMPLE] if _number(end, "samples") == 1 else [])],
        }


def _space(number: int, space: Space) -> RecordedSpace:
    zero = int(np.count_nonzero(space.contents == 0))
    return {"space": number, "pid": space.pid, "name": space.name, "pages": len(space.pages), "zero_pages": zero}


def _number(said: dict[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if type(value) is int else None


def _seconds(said: dict[str, Any], name: str) -> float | None:
    value = said.get(name)
    return float(value) if isinstance(value, int | float) else None


def _text(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) else None


def _list(said: dict[str, Any], name: str) -> list[Any]:
    value = said.get(name)
    return value if isinstance(value, list) else []
