"""Traces: what happens to memory and when, as lines of JSON.

A line is {"t": ms, "op": name, field: value, ...}: one of pksm.simulation.operations.OPERATIONS, done at virtual
millisecond t, or as soon as the lines before it are done. Empty lines and lines that begin with # are passed over.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO

from pksm.errors import PksmError, UsageError
from pksm.simulation.operations import Event

MAX_ID = (1 << 64) - 1  # of contents
MAX_LINE_BYTES = 1 << 28  # more than a content id for each page of the largest machine takes


Opener = Callable[[str], BinaryIO]


def open_binary(path: str) -> BinaryIO:
    """Open a file for reading, as lines of bytes."""
    return open(path, "rb")


def read_trace(path: str, opener: Opener = open_binary) -> Iterator[Event]:
    """Yield the Events of a file of JSON lines, while the file is read: memory for one line at a time.

    Args:
        path: of the file.
        opener: opens it.

    Raises UsageError that names line and field of whatever is wrong, PksmError if the file cannot be read.
    """
    return events_of(read_lines(path, opener), path)


def read_lines(path: str, opener: Opener = open_binary, most_bytes: int = MAX_LINE_BYTES) -> Iterator[str]:
    """Yield the lines of a file of text, of most_bytes at most. PksmError says why it cannot be read."""
    try:
        with opener(path) as file:
            number = 0
            while line := file.readline(most_bytes + 1):
                number += 1
                if len(line) > most_bytes:
                    raise PksmError(f"{path}, line {number}: longer than {most_bytes:,} bytes: not a trace")
                yield line.decode("utf-8")
    except OSError as error:
        raise PksmError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise PksmError(f"cannot read {path}: line {number} is not text in UTF-8") from None


def events_of(lines: Iterable[str], name: str = "trace") -> Iterator[Event]:
    """Yield the Events that lines of JSON name. name: of the trace, in errors."""
    before, number = 0, 0
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            event = _event(line, f"{name}, line {number}")
            if event.ms is not None:
                if event.ms < before:
                    raise UsageError(f"{event.where}: field t: {event.ms} ms lies before {before} of a line before")
                before = event.ms
            yield event
    if not number:
        raise UsageError(f"{name}: the file is empty: a trace is lines of JSON")


def _event(line: str, where: str) -> Event:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
        raise UsageError(f"{where}: not JSON: {reason}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"{where}: a line is an object with the fields t, op and those of the operation")
    if "op" not in fields:
        raise UsageError(f"{where}: field op: missing")
    op, ms = fields.pop("op"), fields.pop("t", None)
    if not isinstance(op, str):
        raise UsageError(f"{where}: field op: must be the name of an operation")
    if ms is not None:
        _checked("t", ms, where)
    # A name that no operation knows goes through as it is: the Event refuses it.
    known = {name: _checked(name, value, where) if name in _FIELDS else value for name, value in fields.items()}
    return Event(ms, op, known, where)


def _checked(name: str, value: Any, where: str) -> Any:
    """Return the value of a field as operations take it."""
    try:
        return _FIELDS[name](value)
    except _Wrong as error:
        raise UsageError(f"{where}: field {name}: {error}") from None


class _Wrong(Exception):
    """What a field's value has to be."""


def _whole(value: Any, low: int, high: int = (1 << 47) - 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _Wrong(f"must be a whole number from {low}{'' if high == (1 << 47) - 1 else f' to {high}'}")
    return value


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise _Wrong("must be a name in quotes")
    return value


def _flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise _Wrong("must be true or false")
    return value


def _address(value: Any) -> Any:
    """A number of bytes, or hexadecimal as "0x..", or a mapping's name."""
    if isinstance(value, str) and value[:2].lower() == "0x":
        try:
            value = int(value, 16)
        except ValueError:
            raise _Wrong('must be a number, hexadecimal as in "0x7f0000000000", or a mapping\'s name') from None
    return _name(value) if isinstance(value, str) else _whole(value, 0)


def _number(value: Any) -> Any:
    """As an address, but not a name."""
    value = _address(value)
    if isinstance(value, str):
        raise _Wrong('must be a number, or hexadecimal as in "0x7f0000000000"')
    return value


def _content(value: Any) -> Any:
    if isinstance(value, list) and value:
        return [_whole(id, 0, MAX_ID) for id in value]
    if isinstance(value, dict):
        if value.keys() != {"base", "mod"}:
            raise _Wrong('must have base and mod, as in {"base": 1, "mod": 10}')
        base, mod = _whole(value["base"], 0, MAX_ID), _whole(value["mod"], 1, MAX_ID)
        _whole(base + mod - 1, 0, MAX_ID)
        return value
    if isinstance(value, int):
        return _whole(value, 0, MAX_ID)
    raise _Wrong('must be a content id, a list of them, or as in {"base": 1, "mod": 10}')


def _patches(value: Any) -> Any:
    rows = value if isinstance(value, list) else [None]
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise _Wrong("must be a list of [page, word, value]")
        for number in row:
            _whole(number, 0, (1 << 32) - 1)
    return value


def _advice(value: Any) -> Any:
    if value not in ("DONTNEED", "MERGEABLE", "UNMERGEABLE"):
        raise _Wrong("must be DONTNEED, MERGEABLE or UNMERGEABLE")
    return value


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return frozenset(map(_name, value))
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise _Wrong("must be a number, a name, or a list of names")
    return value


_NOT_NEGATIVE, _POSITIVE = partial(_whole, low=0), partial(_whole, low=1)
_FIELDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("process", "child", "name", "label"), _name),
    **dict.fromkeys(("t", "ms", "quiet_ms", "limit_ms", "first"), _NOT_NEGATIVE),
    **dict.fromkeys(("n", "new_n"), _POSITIVE),
    **dict.fromkeys(("writable", "mergeable", "stack", "writing"), _flag),
    "address": _address,
    "to": _number,
    "content": _content,
    "patches": _patches,
    "advice": _advice,
    "value": _value,
}
