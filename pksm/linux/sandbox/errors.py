"""Errors on their way between a worker and us: by the name of their class, if it is one of ours."""

from typing import Any

from pksm import errors
from pksm.errors import PksmError, UsageError

_CLASSES = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, PksmError)}
MOST_LETTERS = 2000  # of a message
_OUT_OF_MEMORY = "MemoryError"


def fields_of(error: PksmError | MemoryError) -> dict[str, Any]:
    """Return an error as fields of a message."""
    if isinstance(error, MemoryError):
        return {"class": _OUT_OF_MEMORY, "message": str(error)}
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _CLASSES)
    if isinstance(error, UsageError):
        return {"class": name, "message": error.message, "argument": error.argument}
    return {"class": name, "message": str(error)}


def error_of(fields: dict[str, Any]) -> PksmError | MemoryError:
    """Return the error that such fields stand for; what they hold was written by others."""
    message, argument = str(fields.get("message"))[:MOST_LETTERS], fields.get("argument")
    if fields.get("class") == _OUT_OF_MEMORY:
        return MemoryError(message) if message else MemoryError()
    kind = _CLASSES.get(str(fields.get("class")), PksmError)
    if issubclass(kind, UsageError):
        return kind(message, argument if isinstance(argument, str) else None)
    return kind(message)
