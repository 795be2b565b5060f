"""Files of fingerprints."""

import io
import json
import struct
import zlib

import numpy as np

from pksm.sources.fingerprints import layout
from pksm.sources.fingerprints.layout import HEADER, INDEX, RECORD
from pksm.sources.fingerprints.writing import FingerprintWriter

TABLE_AT = 48  # where the header has the size of the table


def fingerprints(sources, page_size=4096, below=0, key_check=0, heavy=()):
    """A file of fingerprints, its pages numbered; sources: {name: (facts, sums of its pages)}.

    heavy: (sum, pages) of contents that the sample has not got, of the first source.
    """
    records, table, reasons = [], [], {"not_resident": 5, "racy": 2}
    for number, (name, (facts, sums)) in enumerate(sources.items()):
        shared = sum(bool(value) for value in sums)
        table.append({"name": name, "kind": "process", "mappings": ["[heap]", "lib.so"], "pages": shared,
                      "zero_pages": len(sums) - shared + 4, "zero": [3, 1], "lost": 0, "out_of_reach": reasons,
                      "facts": facts, "warnings": ["cut off"]})  # fmt: skip
        for page, value in enumerate(sums):
            frame = 0 if page % 2 else len(records) + 1
            records.append((value, value * 3, frame, number, page % 2, 1))
    table[0]["pages"] += sum(pages for _, pages in heavy)
    file = io.BytesIO()
    head = {"time": 1_700_000_000, "sources": table, "partial": False, "warnings": ["interrupted"]}
    writer = FingerprintWriter(file, page_size, head, len(records), below, key_check)
    writer.add(layout.sorted_records(np.array(records, RECORD)))
    writer.add_heavy(layout.sorted_records(np.array([(value, 1, 0, 0, 0, pages) for value, pages in heavy], RECORD)))
    writer.finish()
    return file.getvalue()


def with_table(data, text):
    """The file with another table (bytes), and the right sums."""
    size = table_bytes(data)
    text = text.ljust(-(-len(text) // 32) * 32)
    head = data[:TABLE_AT] + struct.pack("<Q", len(text)) + data[TABLE_AT + 8 : HEADER.itemsize]
    return sealed(head + text + data[HEADER.itemsize + size :])


def without_records(table, page_size=4096):
    """A file with no records: its table, as bytes or ready for JSON."""
    file = io.BytesIO()
    FingerprintWriter(file, page_size, {}, 0).finish()
    text = (
        table
        if isinstance(table, bytes)
        else json.dumps({"time": 0, "partial": False, "warnings": [], **table}).encode()
    )
    return with_table(file.getvalue(), text)


def table_bytes(data):
    return struct.unpack_from("<Q", data, TABLE_AT)[0]


def sealed(data):
    """The file with the CRCs that its bytes have, as far as its header leads to them: what is changed is found further in."""
    if len(data) < HEADER.itemsize:
        return data
    header = np.frombuffer(data[: HEADER.itemsize], HEADER).copy()
    index_at = HEADER.itemsize + int(header["table_bytes"][0])
    at = index_at + (int(header["partitions"][0]) + 1) * INDEX.itemsize
    if at > len(data):
        return data
    index = np.frombuffer(data[index_at:at], INDEX).copy()
    start = at
    for entry in range(min(len(index), 1 << 10)):
        stop = start + int(index["records"][entry]) * RECORD.itemsize
        if stop > len(data):
            break
        index["crc32"][entry] = zlib.crc32(data[start:stop])
        start = stop
    header["crc32"] = 0
    head = data[HEADER.itemsize : index_at] + index.tobytes()
    header["crc32"] = zlib.crc32(head, zlib.crc32(header.tobytes()))
    return header.tobytes() + head + data[at:]
