"""Files of fingerprints, which stand for the memory of a machine: two checksums a page, and no bytes of it.

The layout, little endian: HEADER; the table, a JSON text of `table_bytes` padded with spaces to a multiple of 32;
`records` entries of RECORD, source by source. The table has `sources`, each with its name, kind, mappings (names),
records, zero (pages of each mapping known to be zero without bytes), lost, out_of_reach, facts and warnings; `partial`:
not all that was meant is here; `warnings`, besides those of the sources.
"""

import json
import os
from types import NoneType

import numpy as np

from pksm import extents
from pksm.errors import PksmError, UsageError
from pksm.extents import State
from pksm.linux.proc.smaps import Mapping
from pksm.sources import base
from pksm.sources.base import Region
from pksm.sources.images import files

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
TABLE_BYTES = 1 << 28
MOST_PAGES = 1 << 52  # that one number of the table tells of
AT_ONCE = 1 << 18  # records
# What facts there may be, and of what type; these alone are told.
FACTS = {
    "pid": int,
    "command": str,
    "user": str,
    "racy": (int, NoneType),
    "frozen": bool,
    "ksm_merged": (int, NoneType),
}
FRAMES = 1 << 33  # room for the frames of one file, in the numbers of many


def sniff(path, head: bytes) -> bool:
    """Tell whether this is a file of fingerprints."""
    return head.startswith(MAGIC)


class FingerprintFile:
    """An open file of fingerprints. Raises PksmError, with one line, for one that is damaged.

    number: of this file among those of a scan: frames of different files are different frames.
    """

    def __init__(self, path, number: int = 0):
        self.path, self._number = os.fspath(path), number
        fd = files.open_regular(path)
        try:
            size = os.fstat(fd).st_size
            header = np.frombuffer(os.pread(fd, HEADER.itemsize, 0).ljust(HEADER.itemsize, b"\0"), HEADER)[0]
            if bytes(header["magic"]) != MAGIC:
                raise self._damaged("it does not begin as fingerprints do")
            if header["version"] != VERSION:
                raise PksmError(f"{self.path}: fingerprints of version {header['version']}, which this pksm can't read")
            self.page_size = int(header["page_size"])
            try:
                base.check_page_size(self.page_size)
            except UsageError:
                raise self._damaged(f"it tells of pages of {self.page_size} bytes") from None
            table_bytes, n_records = int(header["table_bytes"]), int(header["records"])
            if table_bytes > TABLE_BYTES or HEADER.itemsize + table_bytes + n_records * RECORD.itemsize != size:
                raise self._damaged(f"its {size} bytes are not what its header tells")
            table = self._checked_table(os.pread(fd, table_bytes, HEADER.itemsize), n_records)
            self._table, self.partial, self.warnings = table["sources"], table["partial"], table["warnings"]
            mapped = files.map_file(self.path, fd, size)
        finally:
            os.close(fd)
        self._records = mapped[HEADER.itemsize + table_bytes :].view(RECORD)

    def __len__(self):
        return len(self._table)

    def source(self, index: int) -> "FingerprintSource":
        """Open source `index` of the file."""
        about = self._table[index]
        start = sum(one["records"] for one in self._table[:index])
        return FingerprintSource(self, about, index, self._records[start : start + about["records"]])

    def frames(self, records: np.ndarray) -> np.ndarray:
        """Return frame numbers that no other file's frames have, from 1."""
        return records["frame"].astype(np.uint64) + np.uint64(self._number * FRAMES + 1)

    def _checked_table(self, text, n_records):
        try:
            table = json.loads(text)
            sources = table["sources"]
            fine = type(sources) is list and len(sources) > 0 and all(map(_is_fine, sources))
            fine = fine and sum(source["records"] for source in sources) == n_records
            fine = fine and type(table["partial"]) is bool and _are_texts(table["warnings"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            fine = False
        if not fine:
            raise self._damaged("its table of sources can't be right")
        return table

    def _damaged(self, what):
        return PksmError(f"{self.path}: {what}: the file is damaged; make it again with --fingerprints")

    def check(self, records: np.ndarray, index: int, n_mappings: int) -> None:
        """Raise PksmError for records that can't be of source `index`."""
        if len(records) and (
            (records["source"] != index).any()
            or int(records["mapping"].max()) >= n_mappings
            or ((records["flags"] & ZERO != 0) != ((records["xxh3"] == 0) & (records["xxh64"] == 0))).any()
        ):
            raise self._damaged(f"records of its source {index} can't be right")


class FingerprintSource:
    """The memory of one source of a fingerprint file; its pages are those sums. `page_size` is that of the memory."""

    def __init__(self, file: FingerprintFile, about: dict, index: int, records: np.ndarray):
        self.name, self.kind = f"{file.path}: {about['name']}", about["kind"]
        self.page_size = file.page_size
        self.mappings = [Mapping(name, 0, 0) for name in about["mappings"]]
        self.lost, self.partial = about["lost"], file.partial
        lines = [*([] if index else file.warnings), *about["warnings"]]  # the file's once
        self.warnings = [f"{file.path}: {line}" for line in lines]
        self._file, self._about, self._index, self._records = file, about, index, records

    def regions(self, page_size, allocate, progress):
        """Yield the sums as pages of SUM_BYTES, and the counts of what has none."""
        if page_size != SUM_BYTES:
            raise PksmError(f"{self.name}: fingerprints can't be read as pages of {page_size} bytes")
        out = self._about["out_of_reach"]
        holes = sum(out.get(reason, 0) for reason in ("not_resident", "swapped"))
        zero = self._about["zero"]
        counts = [holes, sum(out.values()) - holes, *zero]
        states = [State.HOLE, State.EXCLUDED, *[State.ZERO] * len(zero)]
        yield Region(None, extents.make_runs(states, [0, 0, *range(len(zero))], 0, counts))
        for start in range(0, len(self._records), AT_ONCE):
            records = self._records[start : start + AT_ONCE]
            self._file.check(records, self._index, len(self.mappings))
            buffer = allocate(len(records))
            sums = buffer.view("<u8")
            sums[:, 0], sums[:, 1] = records["xxh3"], records["xxh64"]
            heads = np.append(0, np.flatnonzero(np.diff(records["mapping"])) + 1)
            pages = np.diff(heads, append=len(records))
            runs = extents.make_runs(State.DATA, records["mapping"][heads], heads + start, pages)
            progress(len(records))
            yield Region(buffer, runs, self._file.frames(records), records["flags"] & ONCE != 0, allocated=True)

    def facts(self) -> dict:
        """Return what the scan that made the file knew."""
        known = {name: value for name, value in self._about["facts"].items() if name in FACTS}
        return {**known, "out_of_reach": dict(self._about["out_of_reach"])}

    def close(self) -> None:
        """Let go of the file; its mapping ends with the last that uses it."""


def _are_texts(lines):
    return type(lines) is list and all(isinstance(line, str) for line in lines)


def _is_fine(source):
    """Tell whether an entry of the table has the fields it must have."""
    facts = source["facts"]
    zero = source["zero"]
    numbers = [source["records"], *zero, sum(zero), source["lost"], *source["out_of_reach"].values()]
    numbers += [facts[name] for name in ("racy", "ksm_merged") if facts.get(name) is not None]
    texts = [source["name"], source["kind"], *source["out_of_reach"]]
    return (
        all(type(number) is int and 0 <= number < MOST_PAGES for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and _are_texts(source["mappings"])
        and _are_texts(source["warnings"])
        and type(zero) is list
        and len(zero) == len(source["mappings"])
        and all(isinstance(facts[name], kind) for name, kind in FACTS.items() if name in facts)
        and ("command" in facts) == ("user" in facts)
    )
