"""What others hand over as the address of a function or of memory: integers, cffi, ctypes and numba objects."""

import ctypes
from typing import Any

import numpy as np

from pksm.engine.native.door import ffi

_C_FUNCTION = ctypes._CFuncPtr  # type: ignore[attr-defined]
_POINTERS = (_C_FUNCTION, ctypes._Pointer, ctypes.c_void_p)


def address_of(thing: object) -> int | None:
    """Return the address that a thing stands for; None for NULL, and for what stands for none."""
    if isinstance(thing, (int, np.integer)) and not isinstance(thing, bool):
        return int(thing) or None
    if isinstance(thing, ffi.CData):
        return int(ffi.cast("uintptr_t", thing)) or None
    if isinstance(thing, _POINTERS):
        return ctypes.cast(thing, ctypes.c_void_p).value
    address = getattr(thing, "address", None)  # numba.cfunc
    return address or None if isinstance(address, int) else None


def is_c_function(thing: object) -> bool:
    """Return whether a thing is a function of C as cffi or ctypes has it, NULL included."""
    return isinstance(thing, (ffi.CData, _C_FUNCTION))


def lent(state: Any) -> Any:
    """Return a state as something with an address that keeps it alive: its buffer if it has one, else itself."""
    if isinstance(state, (*_POINTERS, ffi.CData)):
        return state
    try:
        memoryview(state)
    except TypeError:
        return state
    return ffi.from_buffer(state)
