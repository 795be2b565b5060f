"""Writing a file of fingerprints: records come sorted, a stretch of sums at a time, and are written at once."""

import json
import zlib
from typing import IO, Any

import numpy as np

from pksm.arrays import StructArray
from pksm.sources.fingerprints.layout import (
    ALIGNMENT,
    HEADER,
    INDEX,
    MAGIC,
    RECORD,
    VERSION,
    edges,
    partitions_for,
    places,
)


class FingerprintWriter:
    """A file of fingerprints under way.

    Args:
        file: opened for writing, empty; it can seek.
        page_size: of the memory, in bytes.
        table: what the file says of its sources, ready for JSON.
        records: how many there will be, about.
        below: the sum below which contents are in the sample; 0: all are.
        key_check: of the secret key that sums are made with; 0: there is none.
    """

    def __init__(
        self, file: IO[bytes], page_size: int, table: dict[str, Any], records: int, below: int = 0, key_check: int = 0
    ) -> None:
        self._file = file
        self._header = np.zeros(1, HEADER)
        self._header["magic"], self._header["version"], self._header["page_size"] = MAGIC, VERSION, page_size
        self._header["below"], self._header["key_check"] = below, key_check
        text = json.dumps(table).encode()
        self._table = text.ljust(-(-len(text) // ALIGNMENT) * ALIGNMENT)
        partitions = partitions_for(records)
        self._header["table_bytes"], self._header["partitions"] = len(self._table), partitions
        self._edges = edges(below, partitions)
        self._index = np.zeros(partitions + 1, INDEX)
        file.seek(HEADER.itemsize + len(self._table) + self._index.nbytes)

    def add(self, records: StructArray) -> None:
        """Write records (RECORD), which are sorted and come behind those before."""
        first = int(np.searchsorted(np.array(self._edges[1:-1], np.uint64), records["sum"][:1], "right").sum())
        start = 0
        for partition, stop in enumerate(places(records["sum"], self._edges[first + 1 :]), first):
            if stop > start:
                self._write(partition, records[start:stop])
            start = stop
            if stop == len(records):
                break

    def add_heavy(self, records: StructArray) -> None:
        """Write the records of heavy contents, sorted, once all others are written."""
        self._write(len(self._index) - 1, records)

    def finish(self) -> None:
        """Write what is known now: header, table and index."""
        self._header["records"], self._header["heavy"] = self._index["records"][:-1].sum(), self._index["records"][-1]
        head = self._table + self._index.tobytes()
        self._header["crc32"] = zlib.crc32(head, zlib.crc32(self._header.tobytes()))
        self._file.seek(0)
        self._file.write(self._header.tobytes() + head)
        self._file.seek(0, 2)

    def _write(self, entry: int, records: StructArray) -> None:
        data = np.ascontiguousarray(records, RECORD).tobytes()
        self._index["records"][entry] += len(records)
        self._index["crc32"][entry] = zlib.crc32(data, int(self._index["crc32"][entry]))
        self._file.write(data)
