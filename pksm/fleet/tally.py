"""What a range of contents comes to: sums that add up over all ranges, whoever counts which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pksm.arrays import AnyArray, StructArray, U32Array
from pksm.fleet.rows import first_of_contents

MOST_UNITS = 1024  # of a matrix
COMMON = 256  # a content that more units have is base in every fleet
HEAVY = 50
AT_ONCE = 1 << 20  # pairs of units


@dataclass
class Tally:
    """Sums over contents.

    Attributes:
        pages: pages with data.
        contents: distinct contents.
        weight, square: of each level, the sum over contents of the number of groups that have it, and of its square.
        hosts: hosts[k] contents are on exactly k hosts.
        overlap: contents that two units have in common, without base contents; None: too many units.
        common: base contents; spare: their copies in units, beyond the first of each; spare_square: of these, per
            content, the squares.
        heavy: (pages, units, sum, tail) of the contents with the most pages.
    """

    pages: int = 0
    contents: int = 0
    weight: dict[str, int] = field(default_factory=dict)
    square: dict[str, int] = field(default_factory=dict)
    hosts: AnyArray = field(default_factory=lambda: np.zeros(1, np.int64))
    overlap: AnyArray | None = None
    common: int = 0
    spare: int = 0
    spare_square: int = 0
    heavy: list[tuple[int, int, int, int]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another's sums, of other contents."""
        self.pages += other.pages
        self.contents += other.contents
        for mine, theirs in ((self.weight, other.weight), (self.square, other.square)):
            for level, value in theirs.items():
                mine[level] = mine.get(level, 0) + value
        if len(self.hosts) < len(other.hosts):
            self.hosts = np.append(self.hosts, np.zeros(len(other.hosts) - len(self.hosts), np.int64))
        self.hosts[: len(other.hosts)] += other.hosts
        if other.overlap is not None:
            self.overlap = other.overlap.copy() if self.overlap is None else self.overlap + other.overlap
        self.common += other.common
        self.spare += other.spare
        self.spare_square += other.spare_square
        self.heavy = sorted([*self.heavy, *other.heavy], reverse=True)[:HEAVY]


def base_over(n_units: int) -> int:
    """Return how many of so many units have a content at most, if it is to say who belongs together: more is base."""
    return min(COMMON, max(2, n_units // 2))


def tally(rows: StructArray, groups: Mapping[str, U32Array], units: str) -> Tally:
    """Count rows of whole contents: no other rows have the same contents.

    Args:
        rows: ROW, as rows_of() returns them.
        groups: {level: uint32 (members,)}, the group of each member; "host" is one of them.
        units: the level whose groups are compared with each other.
    """
    made = Tally(pages=int(rows["count"].sum(dtype=np.uint64)))
    first = first_of_contents(rows)
    made.contents = int(first.sum())
    content = np.cumsum(first) - 1
    held: dict[str, tuple[AnyArray, AnyArray]] = {}
    for level, group_of in groups.items():
        held[level] = _, times = _distinct(content, group_of[rows["member"]], made.contents)
        made.weight[level] = int(times.sum())
        made.square[level] = int((times * times).sum())
        if level == "host":
            made.hosts = np.bincount(times, minlength=int(group_of.max(initial=0)) + 2).astype(np.int64)
    n_units = int(groups[units].max(initial=0)) + 1
    pairs, times = held[units]
    common = times > base_over(n_units)
    spare = times[common] - 1
    made.common, made.spare, made.spare_square = len(spare), int(spare.sum()), int((spare * spare).sum())
    if n_units <= MOST_UNITS:
        made.overlap = _overlap(pairs, times, ~common, n_units)
    if made.contents:
        starts = np.flatnonzero(first)
        pages = np.add.reduceat(rows["count"], starts, dtype=np.uint64)
        top = _last_of_largest(pages * np.uint64(n_units + 1) + times.astype(np.uint64), HEAVY)
        found = rows[starts[top]]
        made.heavy = list(
            zip(*(column.tolist() for column in (pages[top], times[top], found["sum"], found["tail"])), strict=True)
        )
    return made


def _last_of_largest(keys: AnyArray, n: int) -> AnyArray:
    """Return the places of the n largest keys, of equal ones the last: the same, however contents are cut into ranges."""
    if len(keys) <= n:
        return np.arange(len(keys))
    least = np.partition(keys, len(keys) - n)[len(keys) - n]
    larger = np.flatnonzero(keys > least)
    return np.append(larger, np.flatnonzero(keys == least)[len(larger) - n :])


def _distinct(content: AnyArray, group: AnyArray, n_contents: int) -> tuple[AnyArray, AnyArray]:
    """Return the group of each distinct (content, group), in order of both; and how many groups each content has."""
    if not len(content):
        return np.zeros(0, np.uint32), np.zeros(n_contents, np.int64)
    later = (group[1:] >= group[:-1]) | (content[1:] != content[:-1])
    if not later.all():
        packed = np.sort(content.astype(np.uint64) << np.uint64(32) | group.astype(np.uint64))
        content, group = packed >> np.uint64(32), packed & np.uint64(0xFFFFFFFF)
    first = np.append(True, (group[1:] != group[:-1]) | (content[1:] != content[:-1]))
    return group[first], np.bincount(content[first].astype(np.int64), minlength=n_contents)


def _overlap(group: AnyArray, times: AnyArray, wanted: AnyArray, n_units: int) -> AnyArray:
    """Return int64 (n_units, n_units): contents that both have; on the diagonal, those that a unit has."""
    found = np.zeros(n_units * n_units, np.int64)
    starts = np.cumsum(times) - times
    for k in np.unique(times[wanted]).tolist():
        heads = starts[wanted & (times == k)]
        step = max(1, AT_ONCE // (k * k))
        for begin in range(0, len(heads), step):
            own = group[heads[begin : begin + step, np.newaxis] + np.arange(k)].astype(np.int64)
            cells = own[:, :, np.newaxis] * n_units + own[:, np.newaxis, :]
            found += np.bincount(cells.ravel(), minlength=n_units * n_units)
    return found.reshape(n_units, n_units)
