"""What a target in Python is made of."""

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

MOST_BYTES = 16 << 10


class Target(NamedTuple):
    """One entry of the product that reads what others wrote.

    run: reads an input as the product does; raises AssertionError for a result that can't be right.
    seeds: makes inputs to begin with.
    words: what such inputs are made of, for mutations.
    most_bytes: of an input that is made.
    """

    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[bytes] = ()
    most_bytes: int = MOST_BYTES


def dictionary(words: Sequence[bytes]) -> str:
    """Return words as a dictionary of libFuzzer's."""
    escaped = ["".join(f"\\x{byte:02x}" for byte in word) for word in words]
    return "".join(f'"{word}"\n' for word in escaped)


def one_of(choices: Sequence, data: bytes):
    """Return one of the choices: always the same for an input, another for most others."""
    return choices[zlib.crc32(data) % len(choices)]
