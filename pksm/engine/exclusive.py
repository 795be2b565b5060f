"""One thread at a time, and no shallow copies: what engines and hosts have in common.

Their arrays are lent to C and belong together. A second thread that comes in, or a copy that shares half of them, would
leave memory that no longer makes sense, so both are refused at the border.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar

from pksm.errors import UsageError

_S = TypeVar("_S", bound="Exclusive")
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Exclusive:
    """An object that one thread at a time may be in. The same thread may come in again, from a callback."""

    _in_use: threading.RLock

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make one that nobody is in, whether or not a subclass calls its base's __init__."""
        self = super().__new__(cls)
        self._in_use = threading.RLock()
        return self

    def share_use(self, other: object) -> None:
        """Let a thread that is in this or in the other one be in both, if the other is exclusive too."""
        if isinstance(other, Exclusive):
            self._in_use = other._in_use

    def __copy__(self) -> NoReturn:
        raise UsageError(f"a {type(self).__name__}'s copy would share half of it: take copy.deepcopy")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_in_use"}


def exclusive(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Let a method refuse, by a UsageError and before it does anything, while another thread is in its object."""

    @functools.wraps(method)
    def guarded(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        in_use = self._in_use
        if not in_use.acquire(blocking=False):
            raise UsageError(
                f"{type(self).__name__}.{method.__name__}: another thread is at work in it: "
                "let one thread at a time use an engine and its host"
            )
        try:
            return method(self, *args, **kwargs)
        finally:
            in_use.release()

    return guarded
