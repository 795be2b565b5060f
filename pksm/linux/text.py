"""What the kernel writes in /proc and /sys: bytes, whose lines end at newlines alone.

Names in these files (of programs, files, mappings) are whatever their owner likes: carriage returns, control
characters, bytes that are not UTF-8. Everything is told apart by its place first, and only names are decoded.
"""

import os

from pksm.errors import PksmError

MOST_DIGITS = 20
READ_BYTES = 1 << 14


class MalformedError(PksmError):
    """A file of /proc or /sys that is not as the kernel writes it."""


def read(path: str) -> bytes:
    """Return what is in a file.

    Raises:
        OSError: it cannot be opened or read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [os.read(fd, READ_BYTES)]
        while parts[-1]:  # a read may end anywhere before the end
            parts.append(os.read(fd, READ_BYTES))
        return b"".join(parts)
    finally:
        os.close(fd)


def read_if_any(path: str) -> bytes | None:
    """Return what is in a file, None where it is missing or may not be read."""
    try:
        return read(path)
    except OSError:
        return None


def lines(data: bytes) -> list[bytes]:
    """Return the lines of a file, without their newlines."""
    rows = data.split(b"\n")
    return rows[:-1] if rows[-1] == b"" else rows


def field(data: bytes, name: str) -> bytes | None:
    """Return what the first line `name: value` has behind the colon, None where there is no such line."""
    start, at = name.encode("ascii"), 0
    while (at := data.find(start, at)) >= 0:
        is_first = at == 0 or data[at - 1 : at] == b"\n"
        at += len(start)
        if is_first:
            rest = data[at:].partition(b"\n")[0].lstrip(b" \t")  # cpuinfo has tabs before its colons
            if rest.startswith(b":"):
                return rest[1:].strip(b" \t")
    return None


def number(data: bytes | None, signed: bool = False) -> int | None:
    """Return a decimal number of up to 20 digits, None for anything else. signed: it may be below 0."""
    data = data.strip(b" \t\n") if data is not None else b""
    digits = data[1:] if signed and data.startswith(b"-") else data
    return int(data) if digits.isdigit() and len(digits) <= MOST_DIGITS else None


def number_in(path: str) -> int | None:
    """Return the number that is all there is in a file, None where there is none."""
    return number(read_if_any(path))


def kib(data: bytes | None) -> int | None:
    """Return the bytes of a value such as `123 kB`, None for anything else."""
    if data is None or not data.endswith(b" kB"):
        return None
    pages = number(data[:-3])
    return None if pages is None else pages << 10


def chosen(data: bytes | None) -> str | None:
    """Return the word in brackets of a file that lists choices, None where none is."""
    if data is None:
        return None
    word, bracket, _ = data.partition(b"[")[2].partition(b"]")
    return decoded(word) if bracket and b"\n" not in word else None


def decoded(name: bytes) -> str:
    """Return a name as text; bytes that are not UTF-8 are replaced."""
    return name.decode("utf-8", "replace")


def numbered(directory: str) -> list[int]:
    """Return the entries of a directory that are numbers, in order.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(int(name) for name in os.listdir(directory) if name.isascii() and name.isdigit())
