"""System calls that the C library has no function for."""

import ctypes
import os
from typing import Any

_LIBRARY = ctypes.CDLL(None, use_errno=True)
_syscall = _LIBRARY.syscall
_syscall.restype = ctypes.c_long
_prctl = _LIBRARY.prctl


def call(number: int, *arguments: Any) -> int:
    """Make a system call.

    Args:
        number: of the call on this architecture.
        arguments: numbers, ctypes buffers, or None for a null pointer.

    Raises:
        OSError: the kernel refused.
    """
    return _checked(_syscall(ctypes.c_long(number), *map(_word, arguments)))


def prctl(option: int, *arguments: int) -> int:
    """Call prctl with up to four numbers.

    Raises:
        OSError: the kernel refused.
    """
    padded = [*arguments, 0, 0, 0, 0][:4]
    return _checked(_prctl(ctypes.c_int(option), *map(ctypes.c_ulong, padded)))


def _word(argument: Any) -> Any:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
