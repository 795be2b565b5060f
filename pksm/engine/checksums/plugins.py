"""Checksums of others: a C function by its address, or a Python callable over a batch of pages.

Found by register() or by an entry point of the group `pksm.checksums`; a broken one is named in a warning and passed
over.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar, cast, overload

import numpy as np

from pksm import plugins
from pksm.arrays import AnyArray, Buffer, Pages, U8Array, U64Array
from pksm.engine import native
from pksm.engine.native.checksums import Function
from pksm.engine.native.pages import StoreView
from pksm.errors import PksmError, UsageError

ENTRY_POINTS = "pksm.checksums"
AT_ONCE_BYTES = 4 << 20  # of pages that a Python callable gets at a time
_registered: dict[str, "Plugin"] = {}  # by name


@dataclass(frozen=True)
class Plugin:
    """A checksum of somebody else's.

    Args:
        function: the address of a C function
            `uint64_t (*)(const uint8_t *page, size_t size, const void *state)`, given as an integer, a cffi or ctypes
            function pointer or a numba.cfunc; or a Python callable that takes a read-only uint8 array (n, page_size)
            and returns an array of n unsigned integers.
        width: bits of the result that can be set.
        state: the third argument of a C function, kept alive: an address, a cffi or ctypes pointer, or an object with a
            buffer.
        keep: what else has to live as long, such as cffi's library.
        about: who uses it, a few words.
        name: under which it is known; register() sets it.

    Raises:
        UsageError: neither a function nor an address, or a width out of range.
    """

    function: object
    width: int = 64
    state: object = None
    keep: object = None
    about: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.width, int) or not 1 <= self.width <= 64:
            raise UsageError(f"checksum plug-in {self.name}: width {self.width!r} is not a number of bits from 1 to 64")
        if native.address_of(self.function) is None:
            if not callable(self.function) or native.is_c_function(self.function):  # NULL
                raise UsageError(f"checksum plug-in {self.name}: neither the address of a C function nor a callable")
            if self.state is not None:
                raise UsageError(f"checksum plug-in {self.name}: only a C function takes a state")

    def make(self) -> "Function | Batch":
        """Return the checksum ready to use: a native.Function or a Batch."""
        address = native.address_of(self.function)
        if address is None:
            return Batch(self.name, self.width, cast(Callable[[U8Array], AnyArray], self.function))
        kept = native.lent(self.state)
        return native.Function(self.name, self.width, address, native.address_of(kept) or 0, (self, kept))


class Batch:
    """A Python callable as a checksum. C can't call it, so the engine sums pages with it before it settles them."""

    def __init__(self, name: str, width: int, function: Callable[[U8Array], AnyArray]) -> None:
        self.name, self.width, self._function = name, width, function

    def __repr__(self) -> str:
        return f"<Batch {self.name}, {self.width} bits>"

    def of(self, data: Buffer) -> int:
        """Return the checksum (int) of one page given as bytes."""
        return int(self._sums(np.frombuffer(data, np.uint8)[None])[0])

    def fill(self, store: StoreView, pages: Pages, out: U64Array) -> None:
        """Put the checksums of the pages of a StoreView into out (uint64). PksmError if the callable does not work."""
        at_once = max(1, AT_ONCE_BYTES // store.page_size)
        for start in range(0, len(pages), at_once):
            part = pages[start : start + at_once]
            out[start : start + at_once] = self._sums(native.pages_copy(store, part))

    def _sums(self, rows: U8Array) -> AnyArray:
        rows.flags.writeable = False
        try:
            sums = self._function(rows)
        except Exception as error:
            raise PksmError(f"checksum plug-in {self.name} failed: {plugins.reason(error)}") from error
        if not isinstance(sums, np.ndarray) or sums.dtype.kind != "u" or sums.shape != (len(rows),):
            got = f"{sums.dtype} {sums.shape}" if isinstance(sums, np.ndarray) else type(sums).__name__
            raise PksmError(
                f"checksum plug-in {self.name}: for {len(rows)} pages it must give an array of unsigned integers of "
                f"shape ({len(rows)},), and gave {got}"
            )
        if self.width < 64 and (sums >> np.uint64(self.width)).any():
            raise PksmError(f"checksum plug-in {self.name}: a checksum has more than the {self.width} bits it says")
        return sums


Decorated = TypeVar("Decorated")


@overload
def register(
    name: str, function: None = None, *, width: int = 64, state: object = None, keep: object = None, about: str = ""
) -> Callable[[Decorated], Decorated]: ...


@overload
def register(
    name: str, function: object, *, width: int = 64, state: object = None, keep: object = None, about: str = ""
) -> None: ...


def register(
    name: str,
    function: object = None,
    *,
    width: int = 64,
    state: object = None,
    keep: object = None,
    about: str = "",
) -> Any:
    """Make a checksum of your own known by a name, in place of an earlier one of that name.

    Without a function it returns a decorator: `@register("total", width=32)` above the function.

    Args:
        name: letters, digits, and - _ . between them.
        function, width, state, keep, about: as Plugin has them.

    Raises:
        UsageError: the name is one of ours or not a name, or the function can't be used.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UsageError(f"checksum plug-in {name!r}: a name is letters, digits, and - _ . between them")
    if name in native.strategy_widths() or name == "adaptive":
        raise UsageError(f"checksum plug-in {name}: that is the name of one of pksm's own")
    if function is None:

        def enter(decorated: Decorated) -> Decorated:
            _registered[name] = Plugin(decorated, width, state, keep, about, name)
            return decorated

        return enter
    _registered[name] = Plugin(function, width, state, keep, about, name)
    return None


def unregister(name: str) -> None:
    """Forget a checksum that register() has made known. UsageError if there is none of that name."""
    if name not in _registered:
        raise UsageError(f"checksum plug-in {name!r}: nobody has registered that")
    del _registered[name]


def known() -> dict[str, Plugin]:
    """Return {name: Plugin}: those of entry points, and those registered."""
    return {**_from_entry_points(), **_registered}


@cache
def _from_entry_points() -> dict[str, Plugin]:
    return plugins.load(ENTRY_POINTS, _loaded)


def _loaded(name: str, thing: Any) -> Plugin:
    one = replace(thing, name=name) if isinstance(thing, Plugin) else Plugin(thing, name=name)
    one.make().of(bytes(64))  # what does not work at all shows itself here
    return one
