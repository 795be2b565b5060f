"""Map: one file of fingerprints becomes rows of contents in a file of its own, sorted, in the work directory."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from pksm.arrays import StructArray
from pksm.errors import PksmError
from pksm.fleet.rows import ROW, first_of_contents, rows_of
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.file import FingerprintFile
from pksm.sources.fingerprints.layout import ALL_SUMS, HEAVY, below_of, is_zero, keep_of, places

LEAST = 2  # pages of a heavy content


@dataclass(frozen=True)
class Mapped:
    """What one file of fingerprints holds.

    Args:
        path: of the file.
        page_size: of its machine, in bytes.
        partial: whether not all is in it that was meant to be.
        below: the sum below which contents are in its rows; 0: all are.
        key_check: of the secret key of its sums; 0: there is none.
        time: when it was made, seconds since 1970.
        names: of its members: what was read, such as guests and processes.
        pages: pages with data of each member; a frame that several map counts for the first.
        zero: zero pages of each member.
        rows: path of the file of ROW entries, which names members by their number here.
        n_rows: how many there are.
        heavy: (pages, members, sum, tail) of contents with many pages that are not in its rows.
        digest: of its contents and members; files with the same one are of one machine.
    """

    path: str
    page_size: int
    partial: bool
    below: int
    key_check: int
    time: int
    names: list[str]
    pages: list[int]
    zero: list[int]
    rows: str
    n_rows: int
    heavy: list[tuple[int, int, int, int]]
    digest: str

    @property
    def keep(self) -> float:
        """The share of contents that is in its rows."""
        return keep_of(self.below)


def map_file(path: str, directory: str, keep: float) -> Mapped:
    """Read a file of fingerprints and store the rows of its contents; or return what was stored of it before.

    Args:
        path: of the file.
        directory: the work directory, in which a file by the name of `path`, its size and time, and `keep` appears.
        keep: the share of contents to keep, at most.

    Raises:
        PksmError: the file can't be read, holds no fingerprints, or is damaged.
    """
    facts = _facts(path)
    name = hashlib.sha256(json.dumps([os.path.abspath(path), *facts, keep]).encode()).hexdigest()[:32]
    about = Path(directory, f"{name}.json")
    try:
        found = Mapped(**json.loads(about.read_text(encoding="utf-8")))
        if os.path.getsize(found.rows) >= 0:
            return found
    except (OSError, ValueError, TypeError):
        pass  # nothing was stored yet
    with closing(OpenFile(path)) as file:
        whole = FingerprintFile(file)
        rows = _Rows(whole, below_of(keep))
        place = Path(directory, f"{name}.rows")
        _replace(place, rows.write)
        made = rows.mapped(str(place))
    _replace(about, lambda file: file.write(json.dumps(asdict(made)).encode()))
    return made


def _facts(path: str) -> list[int]:
    try:
        known = os.stat(path)
    except OSError as error:
        raise PksmError(f"{path}: {error.strerror}") from None
    return [known.st_size, known.st_mtime_ns]


class _Rows:
    """The rows of a file on their way to another one, a partition at a time."""

    def __init__(self, whole: FingerprintFile, below: int) -> None:
        self._whole = whole
        self._below = min(whole.below or ALL_SUMS, below or ALL_SUMS)
        self._heavy: list[tuple[int, int, int, int]] = []
        self._digest = hashlib.sha256()
        self._n_rows = self._pages = 0

    def write(self, file: IO[bytes]) -> None:
        """Write all rows."""
        for records in self._whole.records():
            rows = _rows(records)
            self._pages += int(rows["count"].sum(dtype=np.uint64))
            [stop] = places(rows["sum"], [self._below])
            self._add_heavy(rows[stop:])
            data = rows[:stop].tobytes()
            self._digest.update(data)
            self._n_rows += stop
            file.write(data)
        self._add_heavy(_rows(self._whole.heavy()))

    def mapped(self, path: str) -> Mapped:
        """Return what the file holds, once its rows are at `path`."""
        whole, sources = self._whole, self._whole.table["sources"]
        names = [source["name"] for source in sources]
        zero = [source["zero_pages"] for source in sources]
        pages = [source["pages"] for source in sources]
        if self._pages > sum(pages) or (not whole.below and self._pages != sum(pages)):
            raise whole.damaged(f"it has records of {self._pages} pages, and its table promises {sum(pages)}")
        self._digest.update(json.dumps([names, pages, zero, self._heavy]).encode())
        below = 0 if self._below == ALL_SUMS else self._below
        return Mapped(
            path=whole.file.path,
            page_size=whole.page_size,
            partial=whole.table["partial"],
            below=below,
            key_check=whole.key_check,
            time=whole.table["time"],
            names=names,
            pages=pages,
            zero=zero,
            rows=path,
            n_rows=self._n_rows,
            heavy=self._heavy,
            digest=self._digest.hexdigest(),
        )

    def _add_heavy(self, rows: StructArray) -> None:
        if not len(rows):
            return
        starts = np.flatnonzero(first_of_contents(rows))
        pages = np.add.reduceat(rows["count"], starts, dtype=np.uint64)
        members = np.diff(starts, append=len(rows))
        best = np.argsort(pages, kind="stable")[::-1][:HEAVY]
        best = best[pages[best] >= LEAST]
        found = zip(*(column.tolist() for column in (pages[best], members[best], rows["sum"][starts[best]],
                                                     rows["tail"][starts[best]])), strict=True)  # fmt: skip
        self._heavy = sorted([*self._heavy, *found], reverse=True)[:HEAVY]


def _rows(records: StructArray) -> StructArray:
    """Return the rows of records (RECORD), each frame counted for the first source that has it; no zero pages."""
    wanted = ~is_zero(records)
    shared = np.flatnonzero(records["frame"])
    if len(shared):
        again = np.ones(len(shared), bool)
        order = np.lexsort((records["source"][shared], records["frame"][shared]))
        ordered = records["frame"][shared[order]]
        again[order] = np.append(False, ordered[1:] == ordered[:-1])
        wanted[shared[again]] = False
    records = records[wanted]
    return rows_of(*(np.ascontiguousarray(records[name]) for name in ("sum", "tail", "source", "count")))


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that is there whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(part, "wb") as file:
            write(file)
        os.replace(part, path)
    except OSError as error:
        raise PksmError(f"{path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def stored(mapped: Mapped) -> Any:
    """Return the rows of a file, ROW (n_rows,), mapped from the work directory."""
    if not mapped.n_rows:
        return np.zeros(0, ROW)
    return np.memmap(mapped.rows, ROW, "r", shape=(mapped.n_rows,))
