"""Traces: what happens to memory and when, as lines of JSON, or as a Python file.

A line is {"t": ms, "op": name, field: value, ...}: one of pksm.simulation.operations.OPERATIONS, done at virtual millisecond t, or
as soon as the lines before it are done. Empty lines and lines that begin with # are passed over.
"""

import json
import sys
import traceback
import types
from functools import partial

from pksm.errors import PksmError, UsageError
from pksm.hosts.machine.content import MAX_ID
from pksm.simulation.operations import Event, check_fields

SCRIPT = "pksm_workload"  # the name of a Python file as a module


def read_trace(path):
    """Return the Events of a file of JSON lines. UsageError that names line and field for whatever is wrong."""
    return events_of(read_lines(path), path)


def read_lines(path):
    """Return the lines of a file of text. PksmError says why it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text in UTF-8"
        raise PksmError(f"cannot read {path}: {reason}") from None


def events_of(lines, name="trace"):
    """Return the Events that lines of JSON name; name: of the trace, in errors."""
    events, before = [], 0
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            event = _event(line, f"{name}, line {number}")
            if event.ms is not None:
                if event.ms < before:
                    raise UsageError(f"{event.where}: field t: {event.ms} ms lies before {before} of a line before")
                before = event.ms
            events.append(event)
    return events


def _event(line, where):
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
        raise UsageError(f"{where}: no JSON: {reason}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"{where}: a line is an object with the fields t, op and those of the operation")
    if "op" not in fields:
        raise UsageError(f"{where}: field op: missing")
    op, ms = fields.pop("op"), fields.pop("t", None)
    if not isinstance(op, str):
        raise UsageError(f"{where}: field op: must be the name of an operation")
    check_fields(op, fields, where)
    if ms is not None:
        _checked("t", ms, where)
    checked = {name: _checked(name, value, where) for name, value in fields.items()}
    return Event(ms, op, checked, where)


def _checked(name, value, where):
    """Return the value of a field as operations take it."""
    try:
        return _FIELDS[name](value)
    except _Wrong as error:
        raise UsageError(f"{where}: field {name}: {error}") from None


class _Wrong(Exception):
    """What a field's value has to be."""


def _whole(value, low, high=(1 << 47) - 1):
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _Wrong(f"must be a whole number from {low}{'' if high == (1 << 47) - 1 else f' to {high}'}")
    return value


def _name(value):
    if not isinstance(value, str) or not value:
        raise _Wrong("must be a name in quotes")
    return value


def _flag(value):
    if not isinstance(value, bool):
        raise _Wrong("must be true or false")
    return value


def _address(value):
    """A number of bytes, or hexadecimal as "0x..", or a mapping's name."""
    if isinstance(value, str) and value[:2].lower() == "0x":
        try:
            value = int(value, 16)
        except ValueError:
            raise _Wrong('must be a number, hexadecimal as in "0x7f0000000000", or a mapping\'s name') from None
    return _name(value) if isinstance(value, str) else _whole(value, 0)


def _number(value):
    """As an address, but no name."""
    value = _address(value)
    if isinstance(value, str):
        raise _Wrong('must be a number, or hexadecimal as in "0x7f0000000000"')
    return value


def _content(value):
    if isinstance(value, list) and value:
        return [_whole(id, 0, MAX_ID) for id in value]
    if isinstance(value, dict):
        if value.keys() != {"base", "mod"}:
            raise _Wrong('must have base and mod, as in {"base": 1, "mod": 10}')
        base, mod = _whole(value["base"], 0, MAX_ID), _whole(value["mod"], 1, MAX_ID + 1)
        _whole(base + mod - 1, 0, MAX_ID)
        return value
    if isinstance(value, int):
        return _whole(value, 0, MAX_ID)
    raise _Wrong('must be a content id, a list of them, or as in {"base": 1, "mod": 10}')


def _patches(value):
    rows = value if isinstance(value, list) else [None]
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise _Wrong("must be a list of [page, word, value]")
        for number in row:
            _whole(number, 0, (1 << 32) - 1)
    return value


def _advice(value):
    if value not in ("DONTNEED", "MERGEABLE", "UNMERGEABLE"):
        raise _Wrong("must be DONTNEED, MERGEABLE or UNMERGEABLE")
    return value


def _value(value):
    if isinstance(value, list):
        return frozenset(map(_name, value))
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise _Wrong("must be a number, a name, or a list of names")
    return value


_NOT_NEGATIVE, _POSITIVE = partial(_whole, low=0), partial(_whole, low=1)
_FIELDS = {
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


# ---- Python files ----


def load_script(path):
    """Return the function workload(machine, sim) of a Python file.

    PksmError that names the line if it can't be run. The function does to both what it likes, and may return Events to
    be played; what it raises becomes a PksmError too.
    """
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise PksmError(f"cannot read {path}: {error.strerror}") from None
    ready = [_run_script(path, source)]

    def workload(machine, sim):
        # Run anew for each play: what it keeps in variables of its own is of that play only.
        function = ready.pop() if ready else _run_script(path, source)

        def play():
            events = function(machine, sim)
            if events is not None:
                sim.play(events)

        _in_script(path, play)

    return workload


def _run_script(path, source):
    """Run a file as a module and return its function workload."""
    module = sys.modules[SCRIPT] = types.ModuleType(SCRIPT)  # where a dataclass looks for its module
    module.__file__ = path
    _in_script(path, lambda: exec(compile(source, path, "exec"), vars(module)))
    function = vars(module).get("workload")
    if not callable(function):
        raise PksmError(f"{path} defines no function workload(machine, sim)")
    return function


def _in_script(path, work):
    """Call work(); an error of the script's own becomes one line that names where it was."""
    try:
        work()
    except PksmError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
        message = str(error.msg if isinstance(error, SyntaxError) else error)
        said = f": {message}" if message else ""
        raise PksmError(f"{path}, line {line}: {type(error).__name__}{said}") from error
