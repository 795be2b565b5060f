"""The layout of a file of fingerprints, little endian: header, table, index, records, records of heavy contents.

The reference has it in full (docs/reference/formats.md). Records are sorted by sum, then by tail; partitions cut the sums
that there can be into ranges of equal size.
"""

import math

import numpy as np

from pksm.arrays import BoolArray, StructArray, U64Array

MAGIC, VERSION = b"pksmhash", 3
HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("page_size", "<u4"),
        ("records", "<u8"),
        ("heavy", "<u8"),
        ("below", "<u8"),
        ("key_check", "<u8"),
        ("table_bytes", "<u8"),
        ("partitions", "<u4"),
        ("crc32", "<u4"),
    ]
)
# An entry for each partition, and one for the heavy contents.
INDEX = np.dtype([("records", "<u8"), ("crc32", "<u4"), ("unused", "<u4")])
# sum and tail: two checksums of the page, both 0 for a zero page only. frame: 0 for pages that are mapped once, else the
# number of a page that several mappings have. source, mapping: indexes. count: pages.
RECORD = np.dtype(
    [("sum", "<u8"), ("tail", "<u8"), ("frame", "<u4"), ("source", "<u4"), ("mapping", "<u4"), ("count", "<u4")]
)
ALIGNMENT = 32  # of the table's size, bytes
SUM_BYTES = 16  # what stands for a page
PARTITION_RECORDS = 1 << 14  # in each partition, about
MOST_PARTITIONS = 1 << 16
HEAVY = 64  # contents of a sample that are stored though it has not got them
ALL_SUMS = 1 << 64


def below_of(keep: float) -> int:
    """Return the sum below which contents are in a sample of this share; 0: all are."""
    return 0 if keep >= 1 else max(1, int(keep * 2.0**64))


def keep_of(below: int) -> float:
    """Return the share of contents that is in a sample: 1 for all."""
    return below / 2.0**64 if below else 1.0


def share_text(keep: float) -> str:
    """Return a share as people write it: 1/4096."""
    inverse = 1 / keep
    return f"1/{round(inverse)}" if math.isclose(inverse, round(inverse), rel_tol=1e-6) else f"{keep:.6g}"


def partitions_for(records: int) -> int:
    """Return how many partitions so many records are cut into: a power of two."""
    return min(MOST_PARTITIONS, 1 << max(0, (records // PARTITION_RECORDS).bit_length()))


def edges(below: int, partitions: int) -> list[int]:
    """Return the sums at which partitions begin, and the end: partitions + 1 of them."""
    span = below or ALL_SUMS
    return [number * span // partitions for number in range(partitions + 1)]


def is_zero(records: StructArray) -> BoolArray:
    """Return which records are about zero pages."""
    zero: BoolArray = (records["sum"] == 0) & (records["tail"] == 0)
    return zero


def places(sums: U64Array, bounds: list[int]) -> list[int]:
    """Return where each of the bounds, some of which may be 2^64, stands among sorted sums."""
    inside = np.array([bound for bound in bounds if bound < ALL_SUMS], np.uint64)
    return [*np.searchsorted(sums, inside).tolist(), *[len(sums)] * (len(bounds) - len(inside))]


def in_order(records: StructArray) -> bool:
    """Return whether records are sorted by sum, then by tail."""
    sums, tail = records["sum"], records["tail"]
    later = (sums[1:] > sums[:-1]) | ((sums[1:] == sums[:-1]) & (tail[1:] >= tail[:-1]))
    return bool(later.all())


def sorted_records(records: StructArray) -> StructArray:
    """Return records sorted by sum, then by tail, then by where they were."""
    ordered: StructArray = records[np.argsort(records["sum"], kind="stable")]
    return ordered if in_order(ordered) else records[np.lexsort((records["tail"], records["sum"]))]
