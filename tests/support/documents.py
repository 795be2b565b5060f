"""Holds a JSON document against its TypedDict: what is in it, of which type, and nothing else."""

import types
import typing

from pksm import documents

DOCUMENTS = {
    typing.get_args(typing.get_type_hints(kind)["schema"])[0]: kind
    for kind in (getattr(documents, name) for name in documents.__all__)
    if "schema" in typing.get_type_hints(kind)
}


def faults(document):
    """Return what is wrong with a document, by the TypedDict of its schema: lines "where: what"."""
    return list(_faults(document, DOCUMENTS[document["schema"]], document["schema"]))


def _faults(value, kind, where):
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Annotated, typing.NotRequired, typing.Required):
        yield from _faults(value, arguments[0], where)
    elif typing.is_typeddict(kind):
        yield from _faults_of_fields(value, kind, where)
    elif origin in (typing.Union, types.UnionType):
        if all(list(_faults(value, one, where)) for one in arguments):
            yield f"{where}: {value!r} is not {kind}"
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{where}: {value!r} is not one of {arguments}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: {value!r} is not a list"
            return
        for number, entry in enumerate(value):
            yield from _faults(entry, arguments[0], f"{where}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is not a dict"
            return
        for key, entry in value.items():
            yield from _faults(entry, arguments[1], f"{where}.{key}")
    elif not _is_a(value, kind):
        yield f"{where}: {value!r} is not {kind}"


def _faults_of_fields(value, kind, where):
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is not a dict"
        return
    fields = typing.get_type_hints(kind, include_extras=True)
    yield from (f"{where}: has no {name}" for name in sorted(kind.__required_keys__ - value.keys()))
    for name, entry in value.items():
        if name in fields:
            yield from _faults(entry, fields[name], f"{where}.{name}")
        else:
            yield f"{where}: {name} is not a field of {kind.__name__}"


def _is_a(value, kind):
    """Whether a value of JSON is of a plain type: true is not a number, and 1 is a number with a fraction."""
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
