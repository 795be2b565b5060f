"""Results of runs in a file, a line of JSON each: what was done is not done again."""

import json
import os
import stat
import zlib
from types import TracebackType
from typing import Any, BinaryIO, Self

from pksm.errors import PksmError, UsageError
from pksm.simulation.tasks import Result, is_result

SCHEMA = "pksm.sweep.part/1"
_HEAD = json.dumps({"schema": SCHEMA}).encode() + b"\n"


class Partial:
    """A file of results, by the key of their task. A context manager.

    Args:
        path: of the file, which is made if it is not there; None for no file.

    Raises:
        UsageError: it is not a regular file, or something else is in it.
        PksmError: it can't be read or written.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.known: dict[str, Result] = {}

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if not stat.S_ISREG(os.fstat(handle).st_mode):  # a device may never end, a pipe never begin
                os.close(handle)
                raise UsageError(f"{self._path}: is not a regular file: name another", "resume")
            self._file = open(handle, "r+b")
            self._read(self._file, self._path)
        except OSError as error:
            raise PksmError(f"{self._path}: cannot be used: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def _read(self, file: BinaryIO, path: str) -> None:
        """Take all whole lines, and go on behind them: what was cut off when a run was killed is written over."""
        data = file.read()
        if data and not data.startswith(_HEAD):
            raise UsageError(f"{path}: holds something else than results of a sweep: name another file", "resume")
        end = data.rfind(b"\n") + 1
        for number, line in enumerate(data[len(_HEAD) : end].split(b"\n")[:-1], 2):
            try:
                key, result = _checked(json.loads(line))
            except (ValueError, RecursionError):
                raise UsageError(f"{path}: line {number} of it is damaged: remove the line", "resume") from None
            self.known[key] = result
        file.seek(end)
        file.truncate()
        if not end:
            file.write(_HEAD)
            file.flush()

    def add(self, key: str, result: Result) -> None:
        """Keep a result. PksmError if it can't be written."""
        self.known[key] = result
        if self._file is None:
            return
        try:
            entry = {"key": key, "result": result, "crc32": _sum(key, result)}
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise PksmError(f"{self._path}: cannot be written: {error.strerror}") from None


def _checked(entry: Any) -> tuple[str, Result]:
    """Return key and result of a line. ValueError if it is not one that add() has written."""
    if not isinstance(entry, dict) or entry.keys() != {"key", "result", "crc32"}:
        raise ValueError("other fields")
    key, result = entry["key"], entry["result"]
    if not isinstance(key, str) or entry["crc32"] != _sum(key, result) or not is_result(result):
        raise ValueError("other values")
    return key, result


def _sum(key: str, result: Any) -> int:
    """Return the CRC32 of a key and its result: of their JSON, which is the same once it has been read."""
    return zlib.crc32(json.dumps([key, result]).encode())
