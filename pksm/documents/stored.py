"""Documents that were stored: read again, and held against their types."""

import json
import math
import types
import typing
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, BinaryIO

from pksm import documents
from pksm.errors import UsageError

MOST_BYTES = 256 << 20
FAULTS = 3  # of a document, that a message names
Opener = Callable[[str], BinaryIO]


def load(path: str, opener: Opener | None = None) -> dict[str, Any]:
    """Read a document that pksm wrote, with --json or as json.dump() would.

    Args:
        path: of the file.
        opener: opens it for reading bytes.

    Raises:
        UsageError: it is not a document of pksm, or not one of this version; OSError as opening a file does.
    """
    with (opener or _open)(path) as file:
        octets = file.read(MOST_BYTES + 1)
    if len(octets) > MOST_BYTES:
        raise UsageError(f"{path}: is larger than {MOST_BYTES >> 20} MiB, which no document of pksm is")
    try:
        document = json.loads(octets.decode("utf-8"), parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
    except RecursionError:
        raise UsageError(f"{path}: is not a document of pksm: it is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{path}: is not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str):
        raise UsageError(f"{path}: is not a document of pksm: it has no schema such as pksm.scan/1")
    if schema not in schemas():
        raise UsageError(f"{path}: is not a document of this pksm: it does not know the schema {_short(schema)}")
    page_size = document.get("page_size", 1)
    if isinstance(page_size, int) and (page_size < 1 or page_size & (page_size - 1)):
        raise UsageError(f"{path}: is not as pksm wrote it: a page_size of {page_size} is not a power of two")
    found = [fault for _, fault in zip(range(FAULTS), faults(document), strict=False)]
    if found:
        raise UsageError(f"{path}: is not a document that this version of pksm wrote: {'; '.join(found)}")
    return document


def _open(path: str) -> BinaryIO:
    return open(path, "rb")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{text[:40]} is too large")
    return int(text)


@cache
def schemas() -> dict[str, Any]:
    """Return {schema: type} of all documents."""
    names: list[str] = getattr(documents, "__all__")  # noqa: B009 (which type checkers do not see)
    kinds = [getattr(documents, name) for name in names]
    hints = [(kind, typing.get_type_hints(kind)) for kind in kinds]
    return {typing.get_args(hint["schema"])[0]: kind for kind, hint in hints if "schema" in hint}


def faults(document: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a document, by the type of its schema: lines "where: what"."""
    return _faults(document, schemas()[document["schema"]], document["schema"])


def _faults(value: Any, kind: Any, where: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Annotated, typing.NotRequired, typing.Required):
        yield from _faults(value, arguments[0], where)
    elif typing.is_typeddict(kind):
        yield from _faults_of_fields(value, kind, where)
    elif origin in (typing.Union, types.UnionType):
        if all(next(_faults(value, one, where), None) for one in arguments):
            yield f"{where}: {_short(value)} is not {kind}"
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{where}: {_short(value)} is not one of {arguments}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: {_short(value)} is not a list"
            return
        for number, entry in enumerate(value):
            yield from _faults(entry, arguments[0], f"{where}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{where}: {_short(value)} is not a dict"
            return
        for key, entry in value.items():
            yield from _faults(entry, arguments[1], f"{where}.{_short(key)[1:-1]}")
    elif not _is_a(value, kind):
        yield f"{where}: {_short(value)} is not {getattr(kind, '__name__', kind)}"


@cache
def _fields(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _faults_of_fields(value: Any, kind: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {_short(value)} is not a dict"
        return
    yield from (f"{where}: has no {name}" for name in sorted(kind.__required_keys__ - value.keys()))
    for name, entry in value.items():
        if name in _fields(kind):
            yield from _faults(entry, _fields(kind)[name], f"{where}.{name}")
        else:
            yield f"{where}: {_short(name)} is not a field of {kind.__name__}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_a(value: Any, kind: Any) -> bool:
    """Return whether a value of JSON is of a plain type: true is not a number, and 1 is a number with a fraction."""
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
