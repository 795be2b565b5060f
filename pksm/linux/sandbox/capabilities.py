"""Capabilities: what root may do beyond its files, given up for good."""

import contextlib
import ctypes
import struct
from collections.abc import Collection

from pksm.linux.sandbox import system_call

# Numbers of linux/capability.h.
DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SYS_PTRACE, SYS_ADMIN = 1, 2, 3, 5, 19, 21
_VERSION_3 = 0x20080522
_BOUNDING_READ, _BOUNDING_DROP = 23, 24
_AMBIENT, _AMBIENT_CLEAR = 47, 4
_MOST = 64

_library = ctypes.CDLL(None, use_errno=True)


def keep_only(kept: Collection[int] = ()) -> bool:
    """Give up all capabilities but these: in this thread and, as far as it may, in all that it starts.

    Args:
        kept: numbers; what this process does not have it does not get.

    Returns:
        Whether it has no others now.
    """
    mask = sum(1 << number for number in kept)
    for number in range(_MOST):
        if not mask >> number & 1:
            with contextlib.suppress(OSError):  # there is no such capability, or we lack CAP_SETPCAP
                if system_call.prctl(_BOUNDING_READ, number):
                    system_call.prctl(_BOUNDING_DROP, number)
    with contextlib.suppress(OSError):
        system_call.prctl(_AMBIENT, _AMBIENT_CLEAR)
    held = _get()
    if held is None:
        return False
    left = [word & mask >> shift & 0xFFFFFFFF for word, shift in zip(held, (0, 0, 0, 32, 32, 32), strict=True)]
    return _set(left)


def _get() -> tuple[int, ...] | None:
    """Return effective, permitted and inheritable capabilities, the lower halves of all three first."""
    header, data = _header(), ctypes.create_string_buffer(24)
    return None if _library.capget(header, data) else struct.unpack("=6I", data.raw)


def _set(words: list[int]) -> bool:
    return not _library.capset(_header(), ctypes.create_string_buffer(struct.pack("=6I", *words), 24))


def _header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)
