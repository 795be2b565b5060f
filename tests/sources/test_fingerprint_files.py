"""Files of fingerprints, opened: what is wrong with one is a line that says what."""

import struct
import zlib

import numpy as np
import pytest

from pksm.errors import PksmError
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.file import FingerprintFile
from pksm.sources.fingerprints.layout import HEADER, INDEX, RECORD, edges, keep_of, partitions_for, places, share_text

from support.writers.fingerprints import fingerprints, sealed, table_bytes, with_table

WHOLE = fingerprints({"one": ({}, [1, 2, 2, 0, 9]), "two": ({}, [0, 9])})
SAMPLE = fingerprints({"one": ({}, [1, 2, 9])}, below=10, heavy=[(2**63, 7)])
RECORDS_AT = HEADER.itemsize + table_bytes(WHOLE) + 2 * INDEX.itemsize


def read(path, data):
    path.write_bytes(data)
    file = OpenFile(path)
    try:
        whole = FingerprintFile(file)
        return whole, np.concatenate([*whole.records(), whole.heavy()])
    finally:
        file.close()


def changed(data, at, kind, value):
    made = bytearray(data)
    struct.pack_into(f"<{kind}", made, at, value)
    return bytes(made)


def with_record(number, **fields):
    """WHOLE with other fields of a record, and the right sums."""
    records = np.frombuffer(WHOLE[RECORDS_AT:], RECORD).copy()
    for name, value in fields.items():
        records[name][number] = value
    return sealed(WHOLE[:RECORDS_AT] + records.tobytes())


def test_what_is_read(tmp_path):
    whole, records = read(tmp_path / "a", WHOLE)
    assert records["sum"].tolist() == [0, 0, 1, 2, 2, 9, 9] and whole.keep == 1
    sample, records = read(tmp_path / "a", SAMPLE)
    assert records["sum"].tolist() == [1, 2, 9, 2**63] and records["count"].tolist() == [1, 1, 1, 7]
    assert sample.below == 10 and sample.keep == 10 / 2**64


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (WHOLE[:-1], "not what its header promises"),
        (WHOLE[: HEADER.itemsize], "not what its header promises"),
        (WHOLE[:20], "pages of 4096 bytes|its 20 bytes are not"),
        (WHOLE + b"\0", "not what its header promises"),
        (changed(WHOLE, 8, "I", 2), "of version 2, which this pksm can't read: make them again"),
        (changed(WHOLE, 12, "I", 5), "about pages of 5 bytes"),
        (changed(WHOLE, 24, "Q", 1), "not what its header promises"),
        (changed(WHOLE, 32, "Q", 77), "the CRC32 of its header"),
        (changed(WHOLE, 60, "I", 77), "the CRC32 of its header"),
        (changed(WHOLE, 56, "I", 0), "not what its header promises"),
        (changed(WHOLE, 56, "I", 2**31), "not what its header promises"),
        (changed(WHOLE, HEADER.itemsize, "B", 0), "the CRC32 of its header"),
        (changed(WHOLE, len(WHOLE) - 9, "B", 77), "the CRC32 of its partition 0"),
        (sealed(changed(WHOLE, RECORDS_AT - 32, "Q", 3)), "its index can't be right"),
        (sealed(changed(WHOLE, RECORDS_AT - 32, "Q", 2**64 - 7)), "its index can't be right"),
        (with_table(WHOLE, b"{}"), "its table of sources"),
        (with_table(WHOLE, b"[" * 64), "its table of sources"),
        (with_record(0, sum=5), "partition 0 can't be right"),
        (with_record(3, tail=7), "partition 0 can't be right"),
        (with_record(0, source=2), "partition 0 can't be right"),
        (with_record(0, count=0), "partition 0 can't be right"),
        (with_record(0, count=2), "partition 0 can't be right"),
        (sealed(changed(SAMPLE, 32, "Q", 9)), "partition 0 can't be right"),
        (b"x" * 100, "holds no fingerprints"),
    ],
)
def test_what_is_wrong(tmp_path, data, words):
    with pytest.raises(PksmError, match=words) as caught:
        read(tmp_path / "a", data)
    assert str(tmp_path / "a") in str(caught.value) and "\n" not in str(caught.value)


def test_sealing_is_what_the_writer_does():
    assert sealed(WHOLE) == WHOLE and sealed(SAMPLE) == SAMPLE
    assert zlib.crc32(WHOLE[RECORDS_AT:]) == struct.unpack_from("<I", WHOLE, RECORDS_AT - 24)[0]


def test_ranges_of_sums():
    assert edges(0, 2) == [0, 1 << 63, 1 << 64] and edges(10, 4) == [0, 2, 5, 7, 10]
    assert [partitions_for(n) for n in (0, 16383, 16384, 65536, 1 << 40)] == [1, 1, 2, 8, 1 << 16]
    assert places(np.array([1, 5, 2**64 - 1], np.uint64), [0, 5, 6, 1 << 64]) == [0, 1, 2, 3]
    assert share_text(1 / 4096) == "1/4096" and share_text(0.3) == "0.3" and keep_of(0) == 1
