"""An open file of fingerprints: its header, table and index are checked at once, records as they are read."""

import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from pksm.arrays import StructArray
from pksm.errors import PksmError, UsageError
from pksm.linux import memory_limits
from pksm.sources.base import check_page_size
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints import layout
from pksm.sources.fingerprints.layout import ALIGNMENT, HEADER, INDEX, MAGIC, MOST_PARTITIONS, RECORD, VERSION
from pksm.sources.fingerprints.table import PARSED_BYTES, TABLE_BYTES, checked_table

SMALL_TABLE_BYTES = 1 << 16  # that are parsed, whatever memory there is


class FingerprintFile:
    """A file of fingerprints, opened.

    Attributes:
        page_size: of the memory, in bytes.
        below: the sum below which contents are in the sample; 0: all are.
        key_check: of the secret key that sums are made with; 0: there is none.
        table: what the file says of its sources.
        n_records: without those of heavy contents.
        partitions: how many ranges of sums there are.

    Raises:
        UsageError: it holds something else.
        PksmError: it can't be right.
    """

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        if not file.head.startswith(MAGIC):
            raise UsageError(f"{file.path}: holds no fingerprints: make them with pksm fingerprint")
        header = np.frombuffer(file.read_at(0, HEADER.itemsize).ljust(HEADER.itemsize, b"\0"), HEADER)[0]
        if header["version"] != VERSION:
            raise PksmError(
                f"{file.path}: fingerprints of version {header['version']}, which this pksm can't read: make them again "
                "with pksm fingerprint"
            )
        self.page_size = int(header["page_size"])
        try:
            check_page_size(self.page_size)
        except UsageError:
            raise self.damaged(f"it is about pages of {self.page_size} bytes") from None
        self.below, self.key_check = int(header["below"]), int(header["key_check"])
        self.n_records, self.n_heavy = int(header["records"]), int(header["heavy"])
        self.partitions = int(header["partitions"])
        table_bytes, index_bytes = int(header["table_bytes"]), (self.partitions + 1) * INDEX.itemsize
        self._records_at = HEADER.itemsize + table_bytes + index_bytes
        size = self._records_at + (self.n_records + self.n_heavy) * RECORD.itemsize
        possible = table_bytes <= TABLE_BYTES and table_bytes % ALIGNMENT == 0
        if not possible or not 1 <= self.partitions <= MOST_PARTITIONS or size != file.size:
            raise self.damaged(f"its {file.size} bytes are not what its header promises")
        if table_bytes > SMALL_TABLE_BYTES:  # finding out takes as long as reading a small file
            memory_limits.require(PARSED_BYTES * table_bytes, "read it where there is more")
        head = file.read_at(HEADER.itemsize, table_bytes + index_bytes)
        plain = header.copy()
        plain["crc32"] = 0
        if zlib.crc32(head, zlib.crc32(plain.tobytes())) != int(header["crc32"]):
            raise self.damaged("the CRC32 of its header and table is wrong")
        table = checked_table(head[:table_bytes])
        if table is None:
            raise self.damaged("its table of sources can't be right")
        self.table: dict[str, Any] = table
        self._index = np.frombuffer(head[table_bytes:], INDEX)
        counts = [int(number) for number in self._index["records"]]  # without bounds, as sums of theirs must not wrap
        if sum(counts[:-1]) != self.n_records or counts[-1] != self.n_heavy:
            raise self.damaged("its index can't be right")
        self._starts = np.append(0, np.cumsum(counts))
        self._edges = layout.edges(self.below, self.partitions)

    @property
    def keep(self) -> float:
        """The share of contents that is in the file; 1: all."""
        return layout.keep_of(self.below)

    def records(self) -> Iterator[StructArray]:
        """Yield the records (RECORD) of one partition after the other. Raises PksmError for those that can't be right."""
        for number, (low, high) in enumerate(pairwise(self._edges)):
            records = self._read(number)
            if len(records) and not low <= int(records["sum"][0]) <= int(records["sum"][-1]) < high:
                raise self.damaged(f"records of its partition {number} can't be right")
            yield records

    def heavy(self) -> StructArray:
        """Return the records (RECORD) of heavy contents, which the sample has not got."""
        return self._read(self.partitions)

    def _read(self, entry: int) -> StructArray:
        start, stop = int(self._starts[entry]), int(self._starts[entry + 1])
        size = (stop - start) * RECORD.itemsize
        data = self.file.read_at(self._records_at + start * RECORD.itemsize, size)
        if len(data) < size:
            raise self.file.shrunk()
        if zlib.crc32(data) != int(self._index["crc32"][entry]):
            raise self.damaged(f"the CRC32 of its partition {entry} is wrong")
        records = np.frombuffer(data, RECORD)
        if (
            not layout.in_order(records)
            or int(records["source"].max(initial=0)) >= len(self.table["sources"])
            or int(records["count"].min(initial=1)) < 1
            or (not self.below and int(records["count"].max(initial=1)) > 1)
        ):
            raise self.damaged(f"records of its partition {entry} can't be right")
        return records

    def damaged(self, what: str) -> PksmError:
        """Make the error for a file of which something cannot be right."""
        return PksmError(f"{self.file.path}: {what}: the file is damaged; make it again with pksm fingerprint")
