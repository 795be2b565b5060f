"""Who has which content: the distinct contents of each member, as indexes, of all contents or of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray, U32Array
from pksm.fleet.mapping import Mapped, stored
from pksm.fleet.rows import first_of_contents
from pksm.sources.fingerprints.layout import ALL_SUMS, below_of, places


@dataclass(frozen=True)
class Incidence:
    """The contents of members.

    Args:
        share: of all contents that are in it.
        index: uint32 (n,), contents, those of each member one after the other, each once.
        owner: int64 (n,), whose they are, in order.
        contents: how many there are.
        members: how many there are.
    """

    share: float
    index: U32Array
    owner: AnyArray
    contents: int
    members: int

    @property
    def of_members(self) -> list[AnyArray]:
        """The contents of each member."""
        return np.split(self.index, np.searchsorted(self.owner, np.arange(1, self.members)))

    def of_groups(self, groups: U32Array, n_groups: int) -> Incidence:
        """Return the contents of groups of members. groups: of each member, the number of its group."""
        if n_groups == self.members and (groups == np.arange(n_groups)).all():
            return self
        pairs = np.unique(groups[self.owner].astype(np.uint64) << np.uint64(32) | self.index)
        index, owner = (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32), (pairs >> np.uint64(32)).astype(np.int64)
        return Incidence(self.share, index, owner, self.contents, n_groups)


class Owners:
    """Of each content, who has it.

    Args:
        index, owner: contents, and whose each of them is, int (n,).
        contents, members: how many of each there are.
    """

    def __init__(self, index: AnyArray, owner: AnyArray, contents: int, members: int) -> None:
        self._owners = owner[np.argsort(index, kind="stable")]
        self._times = np.bincount(index, minlength=contents)
        self._starts = np.cumsum(self._times) - self._times
        self._members = members

    def of(self, contents: AnyArray) -> AnyArray:
        """Return how many of some contents each member has: int64 (members,)."""
        many = self._times[contents]
        at = np.repeat(self._starts[contents] - (np.cumsum(many) - many), many) + np.arange(int(many.sum()))
        return np.bincount(self._owners[at], minlength=self._members)


def incidence(chosen: Sequence[Mapped], keep: float, most: float) -> Incidence:
    """Return the contents of the members of files, of so large a share that there are about `most` of them in all.

    Args:
        chosen: the files; members count through them.
        keep: the share of contents that all files hold: no larger one is taken.
        most: contents of all members together.
    """
    share = min(keep, keep * most / max(1, sum(one.n_rows for one in chosen)))
    parts, members, offset = [], [], 0
    for one in chosen:
        rows = stored(one.part)
        [stop] = places(rows["sum"], [below_of(share) or ALL_SUMS])
        part = np.array(rows[:stop])
        parts.append(part[["sum", "tail"]])
        members.append(part["member"].astype(np.int64) + offset)
        offset += len(one.names)
    found = np.concatenate(parts)
    by_content = np.lexsort((found["tail"], found["sum"]))
    first = first_of_contents(found[by_content])
    index = np.empty(len(found), np.uint32)
    index[by_content] = np.cumsum(first) - 1
    owner = np.concatenate(members)
    order = np.argsort(owner, kind="stable")
    return Incidence(share, index[order], owner[order], int(first.sum()), offset)
