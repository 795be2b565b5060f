"""Files of fingerprints, which stand for the memory of a machine: two checksums a page, and no bytes of it.

The layout, little endian: HEADER; the table, a JSON text of `table_bytes` padded with spaces to a multiple of 32;
`records` entries of RECORD, source by source. The table has `sources`, each with its name, kind, mappings (names),
records, zero (pages of each mapping known to be zero without bytes), lost, out_of_reach, facts and warnings; `partial`:
not all that was meant is here; `warnings`, besides those of the sources.
"""

import itertools
import json
from collections.abc import Iterator
from types import NoneType
from typing import Any

import numpy as np

from pksm.errors import PksmError, UsageError
from pksm.extents import State, make_runs
from pksm.linux import memory_limits
from pksm.linux.proc.smaps import Mapping
from pksm.sources.base import Allocate, Progress, Region, Source, check_page_size
from pksm.sources.files import OpenFile

MAGIC, VERSION = b"pksmhash", 2
HEADER = np.dtype(
    [("magic", "S8"), ("version", "<u4"), ("page_size", "<u4"), ("records", "<u8"), ("table_bytes", "<u8")]
)
# One mapping of a page: xxh3-64 and xxh64 of its bytes, both 0 for a zero page only; the number of its frame in this
# file, from 0; indexes of the source and of its mapping; ZERO, ONCE.
RECORD = np.dtype(
    [("xxh3", "<u8"), ("xxh64", "<u8"), ("frame", "<u4"), ("source", "<u4"), ("mapping", "<u4"), ("flags", "<u4")]
)
ZERO, ONCE = 1, 2  # the page is zero; its frame is mapped once
SUM_BYTES = 16  # what stands for a page
# What a table may hold at most: more takes minutes to look at, and no machine has that much.
TABLE_BYTES = 1 << 27
MOST_SOURCES, MOST_MAPPINGS = 1 << 15, 1 << 22
MOST_LETTERS, MOST_LETTERS_SHOWN = 1 << 16, 1 << 24  # of a text; of all that are not names of mappings
LETTERS_A_TEXT = 32  # that a text counts as beside its own: showing a line takes as long
PARSED_BYTES = 24  # that a byte of JSON takes when it is parsed, at most
MOST_PAGES = 1 << 52  # that one number of the table can count
AT_ONCE = 1 << 18  # records
# What facts there may be, and of what type; these alone are kept.
FACTS: dict[str, Any] = {
    "pid": int,
    "command": str,
    "user": str,
    "racy": (int, NoneType),
    "frozen": bool,
    "ksm_merged": (int, NoneType),
    "opted_in": int,
}


def sniff(file: OpenFile) -> bool:
    """Return whether the file holds fingerprints."""
    return file.head.startswith(MAGIC)


def open_file(file: OpenFile) -> "FingerprintFile":
    """Open the file, whose parts are the memories it stands for. Raises PksmError for one that is damaged."""
    return FingerprintFile(file)


class FingerprintFile(Source):
    """An open file of fingerprints: its parts are the sources that were scanned when it was made."""

    kind = "fingerprints"
    file: OpenFile

    def __init__(self, file: OpenFile) -> None:
        super().__init__(file.path, file)
        header = np.frombuffer(file.read_at(0, HEADER.itemsize).ljust(HEADER.itemsize, b"\0"), HEADER)[0]
        if header["version"] != VERSION:
            raise PksmError(f"{self.name}: fingerprints of version {header['version']}, which this pksm can't read")
        self.page_size = int(header["page_size"])
        try:
            check_page_size(self.page_size)
        except UsageError:
            raise self.damaged(f"it is about pages of {self.page_size} bytes") from None
        table_bytes, n_records = int(header["table_bytes"]), int(header["records"])
        if table_bytes > TABLE_BYTES or HEADER.itemsize + table_bytes + n_records * RECORD.itemsize != file.size:
            raise self.damaged(f"its {file.size} bytes are not what its header promises")
        memory_limits.require(PARSED_BYTES * table_bytes, "scan it where there is more")
        table = self._checked_table(file.read_at(HEADER.itemsize, table_bytes), n_records)
        self._table, self.partial, self.warnings = table["sources"], table["partial"], table["warnings"]
        self._records_at = HEADER.itemsize + table_bytes

    def parts(self) -> list["FingerprintSource"]:
        """Return the memories that were scanned, in order."""
        starts = itertools.accumulate((one["records"] for one in self._table), initial=0)
        return [
            FingerprintSource(self, index, about, start)
            for index, (about, start) in enumerate(zip(self._table, starts, strict=False))
        ]

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Refuse: there are no pages here, and no one address space."""
        raise UsageError(f"{self.name}: holds fingerprints of pages, not their bytes; a scan reads them")

    def records(self, start: int, stop: int, index: int, n_mappings: int) -> np.ndarray:
        """Read records (RECORD) `start` to `stop` of the file. Raises PksmError unless they can be of source `index`."""
        at, size = self._records_at + start * RECORD.itemsize, (stop - start) * RECORD.itemsize
        data = self.file.read_at(at, size)
        if len(data) < size:
            raise self.file.shrunk()
        records = np.frombuffer(data, RECORD)
        if len(records) and (
            (records["source"] != index).any()
            or int(records["mapping"].max()) >= n_mappings
            or ((records["flags"] & ZERO != 0) != ((records["xxh3"] == 0) & (records["xxh64"] == 0))).any()
        ):
            raise self.damaged(f"records of its source {index} can't be right")
        return records

    def _checked_table(self, text: bytes, n_records: int) -> dict[str, Any]:
        try:
            table: dict[str, Any] = json.loads(text)
            sources = table["sources"]
            fine = type(sources) is list and 0 < len(sources) <= MOST_SOURCES and all(map(_is_fine, sources))
            fine = fine and sum(len(source["mappings"]) for source in sources) <= MOST_MAPPINGS
            fine = fine and sum(source["records"] for source in sources) == n_records
            fine = fine and type(table["partial"]) is bool and _are_texts(table["warnings"])
            fine = fine and sum(map(_letters_shown, sources), _letters(table["warnings"])) <= MOST_LETTERS_SHOWN
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            fine = False
        if not fine:
            raise self.damaged("its table of sources can't be right")
        return table

    def damaged(self, what: str) -> PksmError:
        """Make the error for a file of which something cannot be right."""
        return PksmError(f"{self.name}: {what}: the file is damaged; make it again with a scan that keeps fingerprints")


class FingerprintSource(Source):
    """The memory of one source of a fingerprint file; its pages are those sums. `page_size` is that of the memory."""

    def __init__(self, whole: FingerprintFile, index: int, about: dict[str, Any], start: int) -> None:
        super().__init__(f"{whole.name}: {about['name']}", whole.file)
        self.kind, self.page_size = about["kind"], whole.page_size
        self.machine = whole.file  # frames of another file are other frames
        self.mappings = [Mapping(name, 0, 0) for name in about["mappings"]]
        self.lost, self.partial = about["lost"], whole.partial
        lines = [*([] if index else whole.warnings), *about["warnings"]]  # the file's once
        self.warnings = [f"{whole.name}: {line}" for line in lines]
        self._whole, self._about, self._index, self._start = whole, about, index, start
        self.own_name: str = about["name"]  # without that of the file
        self.n_records: int = about["records"]
        self.zero_without_records: int = sum(about["zero"])

    def records(self, at_once: int) -> Iterator[np.ndarray]:
        """Yield its records (RECORD), so many at a time. Raises PksmError for those that cannot be of it."""
        end = self._start + self.n_records
        for start in range(self._start, end, at_once):
            yield self._whole.records(start, min(start + at_once, end), self._index, len(self.mappings))

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield the sums as pages of SUM_BYTES, and the counts of what has none."""
        if page_size != SUM_BYTES:
            raise PksmError(f"{self.name}: fingerprints can't be read as pages of {page_size} bytes")
        out = self._about["out_of_reach"]
        holes = sum(out.get(reason, 0) for reason in ("not_resident", "swapped"))
        zero = self._about["zero"]
        counts = [holes, sum(out.values()) - holes, *zero]
        states = [State.HOLE, State.EXCLUDED, *[State.ZERO] * len(zero)]
        runs = make_runs(states, [0, 0, *range(len(zero))], 0, counts)
        yield Region(runs[runs["pages"] > 0])
        start = self._start
        for records in self.records(AT_ONCE):
            copies = allocate(len(records))
            sums = copies.array.view("<u8")
            sums[:, 0], sums[:, 1] = records["xxh3"], records["xxh64"]
            heads = np.append(0, np.flatnonzero(np.diff(records["mapping"])) + 1)
            pages = np.diff(heads, append=len(records))
            runs = make_runs(State.DATA, records["mapping"][heads], heads + start, pages)
            start += len(records)
            progress(len(records))
            frames, once = records["frame"].astype(np.uint64) + np.uint64(1), records["flags"] & ONCE != 0
            yield Region(runs, copies=copies, frames=frames, exclusive=once)

    def close(self) -> None:
        """Do nothing: the file is of other parts, too, and closes with it."""

    def facts(self) -> dict[str, Any]:
        """Return what the scan that made the file knew."""
        known = {name: value for name, value in self._about["facts"].items() if name in FACTS}
        return {**known, "out_of_reach": dict(self._about["out_of_reach"])}


def _are_texts(lines: Any) -> bool:
    return type(lines) is list and all(map(_is_text, lines))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_LETTERS


def _letters_shown(source: dict[str, Any]) -> int:
    facts = [value for value in source["facts"].values() if isinstance(value, str)]
    texts = [source["name"], source["kind"], *source["out_of_reach"], *source["warnings"], *facts]
    return _letters(texts)


def _letters(texts: list[str]) -> int:
    return sum(map(len, texts)) + LETTERS_A_TEXT * len(texts)


def _is_fine(source: dict[str, Any]) -> bool:
    """Tell whether an entry of the table has the fields it must have."""
    facts = source["facts"]
    zero = source["zero"]
    numbers = [source["records"], *zero, sum(zero), source["lost"], *source["out_of_reach"].values()]
    numbers += [facts[name] for name in ("racy", "ksm_merged", "opted_in") if facts.get(name) is not None]
    texts = [source["name"], source["kind"], *source["out_of_reach"]]
    return (
        all(type(number) is int and 0 <= number < MOST_PAGES for number in numbers)
        and all(map(_is_text, texts))
        and _are_texts(source["mappings"])
        and _are_texts(source["warnings"])
        and type(zero) is list
        and len(zero) == len(source["mappings"])
        and all(isinstance(facts[name], kind) for name, kind in FACTS.items() if name in facts)
        and ("command" in facts) == ("user" in facts)
    )
