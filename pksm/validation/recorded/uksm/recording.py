"""Recordings of kernels with UKSM: a workload per line, with what was done and what was read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pksm.errors import PksmError, UsageError
from pksm.simulation.trace import MAX_LINE_BYTES, Opener, open_binary, read_lines
from pksm.validation.recorded.fields import check_fields

KERNELS = {"U0": "uksm-0.1.2", "U1": "uksm-0.1.2", "Z1": "uksm-4.14"}  # name: preset
WORDS = 1024  # of a page
_FIELDS: dict[str, type] = {"kernel": str, "w": str, "operations": list, "readings": list}
COUNTERS = ("pages_shared", "pages_sharing", "pages_unshared")
READ = (*COUNTERS, "full_scans", "pages_scanned", "hash_strength", "sleep_times", "ms", "KsmZeroPages_kB")
COLUMNS = (*COUNTERS, "pages_scanned", "zero_pages", "sleep_times", "ms")


class Recording(NamedTuple):
    """One workload as one kernel ran it. where: it stands, for errors; words: those that the hash took, in order."""

    kernel: str
    w: str
    operations: list[str]
    readings: list[dict[str, Any]]
    words: list[int] | None
    where: str


def is_one(path: str, opener: Opener = open_binary) -> bool:
    """Return whether the first line of a file is a recording of UKSM, rather than something else or nothing."""
    for line in read_lines(path, opener):
        if line.strip():
            try:
                first = json.loads(line)
            except (ValueError, RecursionError):
                return False
            return isinstance(first, dict) and "operations" in first and "readings" in first
    return False


def read_recordings(path: str, opener: Opener = open_binary) -> list[Recording]:
    """Return the recordings of a file of JSON lines. PksmError that names the line of whatever is wrong."""
    recordings = [_recording(record, where) for where, record in objects(path, opener)]
    if not recordings:
        raise PksmError(f"{path}: no recording in it")
    return recordings


def objects(path: str, opener: Opener, most_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where it stands, object) of each line of a file of JSON lines, of most_bytes at most."""
    for number, line in enumerate(read_lines(path, opener, most_bytes), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _object(line, where)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise PksmError(f"{where}: not JSON") from None
    if not isinstance(record, dict):
        raise PksmError(f"{where}: must be an object")
    return record


def _recording(record: dict[str, Any], where: str) -> Recording:
    check_fields(record, _FIELDS, where)
    if record["kernel"] not in KERNELS:
        raise UsageError(f"{where}: unknown kernel {record['kernel']!r}: choose from {', '.join(KERNELS)}")
    for number, operation in enumerate(record["operations"]):
        if not isinstance(operation, str) or not operation.split():
            raise PksmError(f"{where}: operation {number}: must be text")
    for number, reading in enumerate(record["readings"]):
        _require_reading(reading, f"{where}: reading {number}")
    words = record.get("sample_order")
    is_order = isinstance(words, list) and len(words) == WORDS and all(type(word) is int for word in words)
    if words is not None and not (is_order and sorted(words) == list(range(WORDS))):
        raise PksmError(f"{where}: field sample_order: must be the numbers 0 to {WORDS - 1} in some order")
    return Recording(record["kernel"], record["w"], record["operations"], record["readings"], words, where)


def _require_reading(reading: Any, where: str) -> None:
    check_fields(reading, {}, where)
    kind = reading.get("k")
    if kind == "read":
        check_fields(reading, dict.fromkeys(READ, int) | {"phase": str}, where)
    elif kind == "frames":
        check_fields(reading, {"phase": str, "procs": dict, "frames_total": int}, where)
    elif kind == "settle":
        check_fields(reading, {"quiet_ms": int}, where)
    elif kind == "sysfs":
        check_fields(reading, {"name": str, "value": str}, where)
    elif kind == "series":
        check_fields(reading, {"name": str, "cols": list, "rows": list}, where)
        lacking = set(COLUMNS) - {name for name in reading["cols"] if isinstance(name, str)}
        if lacking:
            raise PksmError(f"{where}: field cols: {min(lacking)} is missing")
        for row in reading["rows"]:
            if not isinstance(row, list) or [type(value) for value in row] != [int] * len(reading["cols"]):
                raise PksmError(f"{where}: field rows: each must be {len(reading['cols'])} whole numbers")
