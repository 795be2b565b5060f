"""The directory of a run over a fleet: each memory's rows by prefix of the sum, and what each bucket adds up to.

What is there is done: a run that ended begins where it stopped. A file appears whole or not at all.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

import numpy as np

from pksm.arrays import StructArray, U64Array
from pksm.errors import PksmError, UsageError
from pksm.fleet.rows import ROW, grouped, merged
from pksm.fleet.tally import Groups, Tally, tally

VERSION = 1
ABOUT = "about.json"
MOST_BUCKETS = 1 << 16


@dataclass(frozen=True)
class Buckets:
    """A directory of buckets. It pickles, so that workers of a shared file system can take it along."""

    directory: str
    buckets: int

    def done(self, number: int) -> bool:
        """Return whether the rows of this memory are here."""
        return os.path.exists(self._rows(number))

    def put(self, number: int, rows: StructArray) -> int:
        """Keep the rows of one memory, sorted, after an index of where buckets begin. Returns how many there are."""
        rows = merged(rows)
        starts = np.searchsorted(self._bucket_of(rows), np.arange(self.buckets + 1)).astype("<u8")

        def write(file: BinaryIO) -> None:
            file.write(starts.tobytes())
            file.write(rows.tobytes())

        _write(self._rows(number), write)
        return len(rows)

    def take(self, number: int, bucket: int) -> StructArray:
        """Return the rows of one memory in one bucket. Raises PksmError if the file is damaged."""
        path = self._rows(number)
        with open(path, "rb") as file:
            file.seek(8 * bucket)
            between = np.frombuffer(file.read(16), "<u8")
            if len(between) == 2 and between[0] <= between[1]:
                start, stop = int(between[0]), int(between[1])
                file.seek(8 * (self.buckets + 1) + start * ROW.itemsize)
                data = file.read((stop - start) * ROW.itemsize)
                if len(data) == (stop - start) * ROW.itemsize:
                    return np.frombuffer(data, ROW)
        raise PksmError(f"{path}: is damaged; remove the directory, and begin again")

    def add_up(self, bucket: int, groups: Groups) -> Tally:
        """Return what a bucket of all memories adds up to; it is kept for a run that comes later."""
        path = os.path.join(self.directory, f"bucket-{bucket:05d}.npz")
        if os.path.exists(path):
            return _read(path)
        rows = np.concatenate([self.take(number, bucket) for number in range(len(groups))])
        summed = tally(grouped(rows), groups)
        arrays: dict[str, Any] = {one.name: np.asarray(getattr(summed, one.name)) for one in fields(Tally)}
        _write(path, lambda file: np.savez(file, **arrays))
        return summed

    def _rows(self, number: int) -> str:
        return os.path.join(self.directory, f"rows-{number:06d}")

    def _bucket_of(self, rows: StructArray) -> U64Array:
        of: U64Array = (rows["high"] >> np.uint64(32)) * np.uint64(self.buckets) >> np.uint64(32)
        return of


def opened(directory: str | os.PathLike[str], buckets: int, about: dict[str, object]) -> Buckets:
    """Return the buckets of a directory, which is made if it is not there.

    Args:
        directory: of the run; one that has ended is taken up again.
        buckets: into how many the sums are split.
        about: of which memories in which groups, as JSON can say it: a directory is of one run only.

    Raises:
        UsageError: the directory is that of another run, or holds something else.
    """
    if not 1 <= buckets <= MOST_BUCKETS:
        raise UsageError(f"there are from 1 to {MOST_BUCKETS} buckets, not {buckets}", "buckets")
    directory = os.fspath(directory)
    wanted = json.dumps({"version": VERSION, "buckets": buckets, **about}, sort_keys=True).encode()
    path = os.path.join(directory, ABOUT)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if os.path.exists(path):
            with open(path, "rb") as file:
                if file.read() != wanted:
                    raise UsageError(f"{directory}: holds buckets of another run; name another directory", "directory")
        elif os.listdir(directory):
            raise UsageError(f"{directory}: holds other files; name an empty directory, or a new one", "directory")
        else:
            _write(path, lambda file: file.write(wanted))
    except OSError as error:
        raise PksmError(f"{directory}: can't keep buckets here: {error.strerror}") from None
    return Buckets(directory, buckets)


def _read(path: str) -> Tally:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            read: dict[str, Any] = {one.name: arrays[one.name] for one in fields(Tally)}
    except (ValueError, KeyError, OSError, EOFError):
        raise PksmError(f"{path}: is damaged; remove the file, and begin again") from None
    arguments: dict[str, Any] = {name: int(array) if array.ndim == 0 else array for name, array in read.items()}
    return Tally(**arguments)


def _write(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that appears when it is whole, also beside another worker that writes the same."""
    under_way = f"{path}.{os.uname().nodename}.{os.getpid()}"
    try:
        with open(under_way, "wb") as file:
            write(file)
        os.replace(under_way, path)
    except OSError as error:
        raise PksmError(f"{path}: can't be written: {error.strerror}") from None
