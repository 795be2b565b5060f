"""Writing a recording: blocks are gathered into segments, each of which is appended as a whole."""

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Final

import numpy as np

import pksm
from pksm.errors import PksmError, UsageError
from pksm.recording import container, format
from pksm.recording.container import Member
from pksm.recording.events import WITH_CONTENT, Block

SCHEMA: Final = "pksm.recording/1"
HEADER, END, SEGMENT = "recording.json", "end.json", "segments/"
_MOST_OPERATIONS = 128  # of a block: more become several blocks
_ENOUGH_HEADER = format.MOST_HEADER // 4  # bytes, about: then a segment is closed
_BYTES_AN_ENTRY = 48


class Writer:
    """A recording under way, for its owner only (mode 0600), locked as long as it is open.

    Whatever ends this process, what was flushed can be read.

    Args:
        path: of a new file.
        header: what holds for all of it: page_size (bytes) and whatever else there is to say.
        compression: of the segments: zlib, or zstd, which needs the extra `images`, to write and to read.

    Attributes:
        n_events, n_bytes: written so far.
    """

    def __init__(self, path: str | os.PathLike[str], header: Mapping[str, Any], compression: str = "zlib") -> None:
        self.path = os.fspath(path)
        self._method = container.check_method(compression)
        self.n_events = self.n_bytes = 0
        self._file = _created(self.path)
        self._members: list[Member] = []
        self._blocks: list[Block] = []
        self._pending = self._header_bytes = 0
        self._fresh = 1
        self._number = 0
        self._has_failed = False
        self._append(HEADER, _as_json({"schema": SCHEMA, "pksm": pksm.__version__, **header}))

    def add(self, block: Block) -> None:
        """Add a block; those of one sample come together, and samples in the order of time."""
        for part in _parts(block):
            while len(part.pages) > (room := format.MOST_EVENTS - self._pending):
                cut = room
                while cut and part.pages[cut] == part.pages[cut - 1]:  # events of a page stay together
                    cut -= 1
                first, part = _split(part, cut)
                self._gather(first)
                self.flush()
            self._gather(part)
            if self._header_bytes > _ENOUGH_HEADER:
                self.flush()

    def _gather(self, block: Block) -> None:
        self._blocks.append(block)
        self._pending += len(block.pages)
        names = sum(len(field) for operation in block.operations for field in operation if isinstance(field, str))
        self._header_bytes += _BYTES_AN_ENTRY * (1 + len(block.operations)) + 6 * names

    def flush(self) -> None:
        """Write what was added: it is safe then."""
        if not self._blocks:
            return
        first, last = self._blocks[0].ms, self._blocks[-1].ms
        data, self._fresh = format.written(self._blocks, self._fresh)
        self._append(f"{SEGMENT}{self._number:06}-{first}-{last}", data, self._method)
        self._number += 1
        self.n_events += self._pending
        self._blocks, self._pending, self._header_bytes = [], 0, 0

    def close(self, end: Mapping[str, Any] | None = None) -> None:
        """Write what is left, what is known in the end, and the directory of the zip file.

        Nothing more once it could not be written to: what came of that may be on its way still.
        """
        try:
            if self._has_failed:
                return
            self.flush()
            if end is not None:
                self._append(END, _as_json(end))
            self._write(container.directory(self._members, self.n_bytes))
            with self._named():
                os.fsync(self._file.fileno())
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        with suppress(OSError):
            self._file.close()

    def discard(self) -> None:
        """Remove the file, with all that was written."""
        with suppress(OSError):
            os.unlink(self.path)
        self.abandon()

    def _append(self, name: str, data: bytes, method: int = container.ZLIB) -> None:
        member, octets = container.packed(name, data, self.n_bytes, method)
        self._write(octets)
        self._members.append(member)

    def _write(self, octets: bytes) -> None:
        self._has_failed = True
        with self._named():
            self._file.write(octets)
            self._file.flush()
        self._has_failed = False
        self.n_bytes += len(octets)

    def _named(self) -> "_Named":
        return _Named(self.path)


class _Named:
    """Says in an error of the system which file could not be written."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise PksmError(f"{self._path}: cannot be written: {error.strerror}") from None


def _created(path: str) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(path, flags, 0o600), "r+b")
    except FileExistsError:
        raise UsageError(f"{path}: is there already; name another file") from None
    except OSError as error:
        raise PksmError(f"{path}: cannot be written: {error.strerror}") from None
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that it is being written
    return file


def _as_json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode()


def _parts(block: Block) -> list[Block]:
    """Return a block as one or several, none of which has too many operations."""
    operations = block.operations
    if len(operations) <= _MOST_OPERATIONS:
        return [block]
    cuts = range(0, len(operations), _MOST_OPERATIONS)
    parts = [Block(block.ms, block.space, operations[at : at + _MOST_OPERATIONS]) for at in cuts]
    return [*parts, Block(block.ms, block.space, (), block.pages, block.kinds, block.contents)]


def _split(block: Block, at: int) -> tuple[Block, Block]:
    """Return the first `at` events of a block, with its operations, and the others."""
    n_contents = int(np.count_nonzero(WITH_CONTENT[block.kinds[:at]]))
    first = Block(
        block.ms, block.space, block.operations, block.pages[:at], block.kinds[:at], block.contents[:n_contents]
    )
    return first, Block(block.ms, block.space, (), block.pages[at:], block.kinds[at:], block.contents[n_contents:])
