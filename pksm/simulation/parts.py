"""Real memory of which only equal pages of one part are merged: of one process, user, control group or guest.

Contents of different parts become different ones. What is merged is then what merging with trees for each part would
merge; the policy searches one tree for all parts, which takes it a little longer. Zero pages stay zero: the kernel's zero
page belongs to everybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pksm.arrays import I64Array, U32Array
from pksm.errors import UsageError
from pksm.scan.settings import WITHIN
from pksm.scan.under_ksm import part_of
from pksm.simulation.real import Family, RealMemory

NAMES = {"process": "process", "user": "user", "cgroup": "control group", "vm": "guest"}


def within(memory: RealMemory, name: str) -> RealMemory:
    """Return the memory with nothing to merge but within parts.

    A frame that processes of several parts map, as after a fork, is of the first of these parts, as a scan counts it.

    Args:
        memory: as it is.
        name: one of scan.settings.WITHIN; `all`: the memory as it is.

    Raises:
        UsageError: there are no such parts.
    """
    if name not in WITHIN:
        raise UsageError(f"unknown part {name!r}: choose from {', '.join(WITHIN)}", "within")
    if name == "all":
        return memory
    numbers: dict[object, int] = {}
    parts = [
        numbers.setdefault(part_of(process.facts, place, name), len(numbers))
        for place, process in enumerate(memory.processes)
    ]
    owners, places = [], iter(parts)
    parts_of_families = [[next(places) for _ in family.processes] for family in memory.families]
    for family, own in zip(memory.families, parts_of_families, strict=True):
        owners.append(_owners(family, own))
    renamed = _Renamed(memory, parts_of_families, owners, len(numbers))
    families = tuple(
        replace(
            family,
            contents=renamed.of_all(family.contents, owner),
            processes=tuple(
                replace(process, contents=renamed.of(process.contents, part))
                for process, part in zip(family.processes, own, strict=True)
            ),
        )
        for family, own, owner in zip(memory.families, parts_of_families, owners, strict=True)
    )
    return replace(memory, name=f"{memory.name}, within each {NAMES[name]} alone", families=families)


def _owners(family: Family, parts: Sequence[int]) -> I64Array:
    """Return the part of each frame that the family has in common: the first of those that map it."""
    owners = np.full(len(family.contents), max(parts), np.int64)
    for process, part in zip(family.processes, parts, strict=True):
        maps = np.unpackbits(process.maps, count=len(owners)).astype(bool)
        owners[maps] = np.minimum(owners[maps], part)
    return owners


class _Renamed:
    """New content ids: those of each part behind those of the one before it, 0 for zero in all."""

    def __init__(
        self, memory: RealMemory, parts: Sequence[Sequence[int]], owners: Sequence[I64Array], n_parts: int
    ) -> None:
        found: Mapping[int, list[U32Array]] = {part: [np.empty(0, np.uint32)] for part in range(n_parts)}
        for family, own, owner in zip(memory.families, parts, owners, strict=True):
            for part in np.unique(owner).tolist():
                found[part].append(np.unique(family.contents[owner == part]))
            for process, part in zip(family.processes, own, strict=True):
                found[part].append(np.unique(process.contents))
        self._ids = [np.setdiff1d(np.concatenate(found[part]), [0]) for part in range(n_parts)]
        self._firsts = np.cumsum([1, *(len(ids) for ids in self._ids)])

    def of(self, contents: U32Array, part: int) -> U32Array:
        """Return the new ids of contents of one part."""
        new = self._firsts[part] + np.searchsorted(self._ids[part], contents)
        return np.where(contents == 0, 0, new).astype(np.uint32)

    def of_all(self, contents: U32Array, parts: I64Array) -> U32Array:
        """Return the new ids of contents, each of its part."""
        renamed = np.zeros(len(contents), np.uint32)
        for part in np.unique(parts).tolist():
            renamed[parts == part] = self.of(contents[parts == part], part)
        return renamed
