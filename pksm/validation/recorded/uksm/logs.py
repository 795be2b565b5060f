"""Logs of kernels with UKSM, companions of recordings: what uksmd visited, and what its wake-ups left behind."""

from __future__ import annotations

import gzip
import zlib
from typing import Any, NamedTuple

from pksm.errors import PksmError
from pksm.simulation.trace import Opener
from pksm.validation.recorded.uksm.recording import objects

OUT, SLOT, PAGE = 0, 3, 4  # of a visit
NUMBERS = 6  # of an event
KINDS = "VJR"  # events that are used: visits, judgements, rungs that begin anew
COLUMNS = ("cpu_ns", "ema", "sleep_next", "hash_strength", "full_scans")
PER_RUNG = ("step[4]", "quota_next[4]")
RUNGS = 4
MOST_LINE_BYTES = 1 << 26  # a million events of a workload; gzip makes a line of a thousandth of it

Event = tuple[int, ...]


class Batch(NamedTuple):
    """One wake-up: ns that it took; then the mean, pause, strength and full scans; strides and quotas of the rungs."""

    cpu_ns: int
    ema: int
    sleep_next: int
    hash_strength: int
    full_scans: int
    steps: list[int]
    quotas: list[int]


class Log(NamedTuple):
    """What a kernel logged of one workload. visits, judged, resets: the numbers of each event, in order."""

    visits: list[Event]
    judged: list[Event]
    resets: list[Event]
    batches: list[Batch]


def read_logs(visits: str, batches: str, opener: Opener) -> dict[tuple[str, str], Log]:
    """Return the logs of two companions by (kernel, workload), of workloads that are in both.

    Args:
        visits: path of the events, gzip or text, a workload per line.
        batches: path of the wake-ups, likewise.
        opener: opens them.

    Raises:
        PksmError: that names the file, and the line of whatever is wrong.
    """
    wakes = {key: _batches(record, where) for key, where, record in _companion(batches, opener, "rows", "cols")}
    return {
        key: Log(*_events(record["events"], where), wakes[key])
        for key, where, record in _companion(visits, opener, "events")
        if key in wakes
    }


def _companion(path: str, opener: Opener, *fields: str) -> list[tuple[tuple[str, str], str, dict[str, Any]]]:
    """Return ((kernel, workload), where it stands, line) of all lines."""

    def opened(name: str) -> Any:
        return gzip.open(opener(name)) if name.endswith(".gz") else opener(name)

    found = []
    try:
        for where, record in objects(path, opened, MOST_LINE_BYTES):
            for name in ("kernel", "w"):
                if not isinstance(record.get(name), str):
                    raise PksmError(f"{where}: field {name}: must be text")
            for name in fields:
                if not isinstance(record.get(name), list):
                    raise PksmError(f"{where}: field {name}: must be a list")
            found.append(((record["kernel"], record["w"]), where, record))
    except (EOFError, zlib.error):
        raise PksmError(f"cannot read {path}: not a whole gzip file") from None
    return found


def _events(events: list[Any], where: str) -> tuple[list[Event], list[Event], list[Event]]:
    """Return the numbers of the events, of each of KINDS apart."""
    found: dict[str, list[Event]] = {kind: [] for kind in KINDS}
    for place, event in enumerate(events):
        if not isinstance(event, str):
            raise PksmError(f"{where}: event {place}: must be text")
        kind, *texts = event.split() or [""]
        if kind not in found:
            continue
        if len(texts) != NUMBERS or not all(text.isdecimal() and len(text) < 16 for text in texts):
            raise PksmError(f"{where}: event {place}: must be {kind} and {NUMBERS} whole numbers")
        found[kind].append(tuple(map(int, texts)))
    visits, judged, resets = found.values()
    return visits, judged, resets


def _batches(record: dict[str, Any], where: str) -> list[Batch]:
    places = {name: place for place, name in enumerate(record["cols"]) if isinstance(name, str)}
    for name in (*COLUMNS, *PER_RUNG):
        if name not in places:
            raise PksmError(f"{where}: field cols: {name} is missing")
    batches = []
    for number, row in enumerate(record["rows"]):
        if not isinstance(row, list) or len(row) != len(record["cols"]):
            raise PksmError(f"{where}: row {number}: must have {len(record['cols'])} values")
        values = [row[places[name]] for name in COLUMNS]
        rungs = [row[places[name]] for name in PER_RUNG]
        whole = all(type(value) is int for value in values)
        of_rungs = all(isinstance(one, list) and [type(value) for value in one] == [int] * RUNGS for one in rungs)
        if not whole or not of_rungs:
            raise PksmError(f"{where}: row {number}: must be whole numbers, {RUNGS} for {' and '.join(PER_RUNG)}")
        batches.append(Batch(*values, *rungs))
    return batches
