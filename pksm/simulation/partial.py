"""Results of runs in a file, a line of JSON each: what was done is not done again."""

import json
import os
from types import TracebackType
from typing import Any, BinaryIO, Self

from pksm.errors import PksmError, UsageError

SCHEMA = "pksm.sweep.part/1"
_HEAD = json.dumps({"schema": SCHEMA}).encode() + b"\n"


class Partial:
    """A file of results, by the key of their task. A context manager.

    Args:
        path: of the file, which is made if it is not there; None for no file.

    Raises:
        UsageError: something else is in the file.
        PksmError: it can't be read or written.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.known: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
        for line in data[len(_HEAD) : end].splitlines():
            try:
                entry = json.loads(line)
                self.known[entry["key"]] = entry["result"]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise UsageError(f"{path}: a line of it is damaged: remove the line", "resume") from None
        file.seek(end)
        file.truncate()
        if not end:
            file.write(_HEAD)
            file.flush()

    def add(self, key: str, result: Any) -> None:
        """Keep a result. PksmError if it can't be written."""
        self.known[key] = result
        if self._file is None:
            return
        try:
            self._file.write(json.dumps({"key": key, "result": result}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise PksmError(f"{self._path}: cannot be written: {error.strerror}") from None
