"""Groups of VMs or hosts that belong on one host: grown one by one, each time by who has most in common with all of it."""

from __future__ import annotations

import numpy as np

from pksm.arrays import AnyArray, BoolArray
from pksm.documents.fleet import FleetGroup
from pksm.fleet import estimates
from pksm.fleet.incidence import Incidence, Owners

MOST = 50
LEAST_MEMBERS = 3  # pairs are ranked by themselves


def groups(incidence: Incidence, overlap: AnyArray, keep: float, common: int, names: list[str]) -> list[FleetGroup]:
    """Return groups of three or more, those that save most first; nobody is in two of them.

    A group begins with the two that have most in common. Then whoever has most in common with all that the group holds
    joins it, of those who have no more in common with anybody outside. Takes time for each unit that joins as the
    square of their number, and for each content once per group.

    Args:
        incidence: the contents of units.
        overlap: int (n, n): contents that two units have in common, base contents apart.
        keep: the share of contents that `overlap` counts.
        common: contents that more units have are base contents: they say nothing about who belongs together.
        names: of the units.
    """
    growing = _Growing(incidence, overlap / keep, common)
    made: list[FleetGroup] = []
    while len(made) < MOST:
        grown = growing.next()
        if len(grown) < 2:
            break
        if len(grown) >= LEAST_MEMBERS:
            made.append(_group(growing, [unit for unit, _ in grown], [gain for _, gain in grown], names))
    return sorted(made, key=lambda group: -group["saving_pages"]["value"])


def _group(growing: _Growing, units: list[int], gains: list[float], names: list[str]) -> FleetGroup:
    copies, own = growing.copies(units)
    saving = estimates.total(float(copies.sum()), float((copies * copies).sum()), growing.share)
    return {
        "names": [names[unit] for unit in units],
        "gain_pages": gains,
        "saving_pages": saving,
        "share": saving["value"] * growing.share / own if own else 0.0,
    }


class _Growing:
    """Units that are in no group yet, and their contents.

    Args:
        common: float (n, n), contents that two units have in common.
    """

    def __init__(self, incidence: Incidence, common: AnyArray, most: int) -> None:
        self.share = incidence.share
        times = np.bincount(incidence.index, minlength=incidence.contents)
        kept = times[incidence.index] <= most
        self._index, self._owner = incidence.index[kept], incidence.owner[kept]
        n = incidence.members
        self._starts = np.searchsorted(self._owner, np.arange(n + 1))
        self._owners = Owners(self._index, self._owner, incidence.contents, n)
        self._contents = incidence.contents
        self._common = common.copy()
        np.fill_diagonal(self._common, 0)
        self._open = np.ones(n, bool)

    def next(self) -> list[tuple[int, float]]:
        """Return the next group: its units as they join, and what each has in common with those before it."""
        pairs = np.where(self._open[:, np.newaxis] & self._open, self._common, 0)
        first, second = np.unravel_index(int(np.argmax(pairs)), pairs.shape) if pairs.size else (0, 0)
        if not pairs.size or not pairs[first, second]:
            return []
        held = np.zeros(self._contents, bool)
        gain = np.zeros(len(self._open))
        grown: list[tuple[int, float]] = []
        joins: int | None = int(first)
        while joins is not None:
            grown.append((joins, float(gain[joins])))
            self._open[joins] = False
            gain += self._newly_held(joins, held) / self.share
            joins = int(second) if len(grown) == 1 else self._who_joins(gain)
        return grown

    def copies(self, units: list[int]) -> tuple[AnyArray, int]:
        """Return of each content of some units how many copies of it are spare among them, and how many they have."""
        own = np.concatenate([self._index[self._starts[unit] : self._starts[unit + 1]] for unit in units])
        times = np.bincount(own)
        return np.maximum(times - 1, 0), len(own)

    def _newly_held(self, unit: int, held: BoolArray) -> AnyArray:
        """Let a unit's contents be held; return how many of those that were not each unit has."""
        own = self._index[self._starts[unit] : self._starts[unit + 1]]
        new = own[~held[own]]
        held[new] = True
        return self._owners.of(new)

    def _who_joins(self, gain: AnyArray) -> int | None:
        """Return who has most in common with the group, of those who have no more in common with anybody outside."""
        outside = np.flatnonzero(self._open)
        if not len(outside):
            return None
        rival = self._common[np.ix_(outside, outside)].max(axis=1)
        wanted = np.where(gain[outside] >= rival, gain[outside], 0)
        best = int(np.argmax(wanted))
        return int(outside[best]) if wanted[best] else None
