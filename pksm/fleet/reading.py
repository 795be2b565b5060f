"""What parses a file of fingerprints: its records become rows, and its table what is known of it."""

import hashlib
import json
from dataclasses import dataclass
from typing import IO

import numpy as np

from pksm.arrays import StructArray
from pksm.errors import PksmError
from pksm.fleet.rows import first_of_contents, rows_of
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.file import FingerprintFile
from pksm.sources.fingerprints.layout import ALL_SUMS, HEAVY, is_zero, places

LEAST = 2  # pages of a heavy content
Heavy = tuple[int, int, int, int]  # pages, members, sum, tail


@dataclass(frozen=True)
class Contents:
    """What one file of fingerprints holds.

    Args:
        page_size: of its machine, in bytes.
        partial: whether not all is in it that was meant to be.
        below: the sum below which contents are in its rows; 0: all are.
        key_check: of the secret key of its sums; 0: there is none.
        time: when it was made, seconds since 1970.
        names: of its members: what was read, such as guests and processes.
        pages: pages with data of each member; a frame that several map counts for the first.
        zero: zero pages of each member.
        n_rows: how many rows it has.
        heavy: (pages, members, sum, tail) of contents with many pages that are not in its rows.
        digest: of its contents and members; files with the same one are of one machine.
    """

    page_size: int
    partial: bool
    below: int
    key_check: int
    time: int
    names: list[str]
    pages: list[int]
    zero: list[int]
    n_rows: int
    heavy: list[Heavy]
    digest: str


def write_rows(file: OpenFile, below: int, rows: IO[bytes]) -> Contents:
    """Write the rows (ROW) of a file's contents whose sums are below `below`, all if it is 0, and return what it holds.

    Raises:
        PksmError: the file holds no fingerprints, or is damaged; or the rows can't be written.
    """
    made = _Rows(FingerprintFile(file), below)
    try:
        made.write(rows)
        rows.flush()
    except OSError as error:
        raise PksmError(f"{file.path}: its rows can't be written: {error.strerror}") from None
    return made.contents()


class _Rows:
    """The rows of a file on their way to another one, a partition at a time."""

    def __init__(self, whole: FingerprintFile, below: int) -> None:
        self._whole = whole
        self._below = min(whole.below or ALL_SUMS, below or ALL_SUMS)
        self._heavy: list[Heavy] = []
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

    def contents(self) -> Contents:
        """Return what the file holds, once its rows are written."""
        whole, sources = self._whole, self._whole.table["sources"]
        names = [source["name"] for source in sources]
        zero = [source["zero_pages"] for source in sources]
        pages = [source["pages"] for source in sources]
        if self._pages > sum(pages) or (not whole.below and self._pages != sum(pages)):
            raise whole.damaged(f"it has records of {self._pages} pages, and its table promises {sum(pages)}")
        self._digest.update(json.dumps([names, pages, zero, self._heavy]).encode())
        return Contents(
            page_size=whole.page_size,
            partial=whole.table["partial"],
            below=0 if self._below == ALL_SUMS else self._below,
            key_check=whole.key_check,
            time=whole.table["time"],
            names=names,
            pages=pages,
            zero=zero,
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
