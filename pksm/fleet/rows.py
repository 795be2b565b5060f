"""Rows of a fleet: a content, who holds it, and in how many pages; and rows grouped by content."""

from dataclasses import dataclass

import numpy as np

from pksm.arrays import BoolArray, I64Array, IntArray, StructArray, U64Array
from pksm.errors import PksmError

# The two halves of a content's 128-bit sum, a number of the memory that holds it, and its pages there.
ROW = np.dtype([("high", "<u8"), ("low", "<u8"), ("member", "<u4"), ("count", "<u4")])
MOST_COUNTED = (1 << 32) - 1


def make_rows(high: U64Array, low: U64Array, member: IntArray | int, count: IntArray | int = 1) -> StructArray:
    """Return rows (ROW, one for each sum) of what may also be a single member or count for all.

    Args:
        high, low: halves of the sums, of one length.
        member: number of the memory that holds each.
        count: pages there that hold it.
    """
    rows = np.empty(len(high), ROW)
    rows["high"], rows["low"], rows["member"], rows["count"] = high, low, member, count
    return rows


def merged(rows: StructArray) -> StructArray:
    """Return rows sorted by sum and member, those of one content in one member made one.

    Raises:
        PksmError: a member has one content in more pages than a row can count.
    """
    rows = rows[_order(rows)]
    if not len(rows):
        return rows
    first = np.append(True, _other_content(rows) | (rows["member"][1:] != rows["member"][:-1]))
    if first.all():
        return rows
    starts = np.flatnonzero(first)
    counts = np.add.reduceat(rows["count"].astype(np.int64), starts)
    if int(counts.max()) > MOST_COUNTED:
        raise PksmError(f"a content in {int(counts.max()):,} pages of one memory: rows count {MOST_COUNTED:,} at most")
    rows = rows[starts]
    rows["count"] = counts
    return rows


@dataclass(frozen=True)
class Contents:
    """Merged rows by content: content c has rows starts[c] to starts[c + 1]."""

    rows: StructArray
    starts: I64Array

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def of_rows(self) -> I64Array:
        """Return the number of each row's content."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def holders(self, group: IntArray) -> I64Array:
        """Return in how many groups each content is.

        Args:
            group: the group of each member, below 2**32.
        """
        keys = (self.of_rows.astype(np.uint64) << np.uint64(32)) | group[self.rows["member"]].astype(np.uint64)
        keys = np.sort(keys)
        first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        return np.bincount((keys[first] >> np.uint64(32)).astype(np.int64), minlength=len(self))

    def check(self) -> None:
        """Raise PksmError unless rows are sorted by sum and member, none twice, and starts are where contents begin."""
        rows = self.rows
        other = _other_content(rows)
        ordered = (rows["high"][1:] > rows["high"][:-1]) | (
            (rows["high"][1:] == rows["high"][:-1])
            & ((rows["low"][1:] > rows["low"][:-1]) | (~other & (rows["member"][1:] > rows["member"][:-1])))
        )
        if not ordered.all() or not np.array_equal(self.starts, _starts(rows)):
            raise PksmError("rows of a fleet are not in order")


def grouped(rows: StructArray) -> Contents:
    """Return any rows (ROW) as contents."""
    rows = merged(rows)
    return Contents(rows, _starts(rows))


def _starts(rows: StructArray) -> I64Array:
    if not len(rows):
        return np.zeros(1, np.int64)
    return np.concatenate([[0], np.flatnonzero(_other_content(rows)) + 1, [len(rows)]]).astype(np.int64)


def _other_content(rows: StructArray) -> BoolArray:
    return (rows["high"][1:] != rows["high"][:-1]) | (rows["low"][1:] != rows["low"][:-1])


def _order(rows: StructArray) -> I64Array:
    """Return the order by sum and member. Half a sum decides nearly always, and is quick to sort by."""
    high = rows["high"]
    order = np.argsort(high)
    tied = np.flatnonzero(high[order][1:] == high[order][:-1])
    if len(tied):
        among = np.zeros(len(rows), bool)
        among[tied] = among[tied + 1] = True
        at = np.flatnonzero(among)
        some = order[at]
        order[at] = some[np.lexsort((rows["member"][some], rows["low"][some], high[some]))]
    return order
