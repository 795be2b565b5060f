"""States: what is kept of an engine or a host, as dicts of arrays, numbers and words, and what is not one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from pksm.arrays import AnyArray
from pksm.errors import PksmError, ShortageError, UsageError

State: TypeAlias = dict[str, Any]

_SIGNS = (
    AssertionError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    PksmError,
)


@contextmanager
def sound_state(whose: str) -> Iterator[None]:
    """Let what goes wrong with a state that somebody gave be one UsageError: it is of another thing, or damaged."""
    try:
        yield
    except ShortageError:
        raise
    except _SIGNS as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"there is no {reason}"
        raise UsageError(f"this is not a sound state of a {whose}: {reason}") from error


def column(value: Any, dtype: Any) -> AnyArray:
    """Return a column of a state: one-dimensional, of a dtype. AssertionError if it is not that."""
    assert isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.dtype(dtype), "a column is not one"
    return np.ascontiguousarray(value)


def number(value: Any, low: int = 0, high: int = 1 << 62) -> int:
    """Return a whole number of a state. AssertionError unless it is one from low to high."""
    assert isinstance(value, int) and low <= value <= high, f"{value} is not a number from {low} to {high}"
    return value


def below(values: AnyArray, end: int) -> AnyArray:
    """Return numbers of a state. AssertionError unless all are below end."""
    assert not len(values) or int(values.max()) < end, "a number is out of range"
    return values
