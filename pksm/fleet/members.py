"""Who is who in a fleet: its members, numbered through, and the VMs, tenants and hosts that they are in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pksm.arrays import AnyArray, U32Array
from pksm.fleet.mapping import Mapped
from pksm.fleet.settings import Settings
from pksm.fleet.tally import MOST_UNITS


@dataclass(frozen=True)
class Members:
    """The members of all files, numbered through: what was read there, such as guests and processes.

    Args:
        names: of the VMs, "HOST/VM".
        groups: {level: uint32 (members,)}.
        labels: {level: names of the groups}; of VMs, `names`.
    """

    names: list[str]
    groups: Mapping[str, U32Array]
    labels: Mapping[str, list[str]]

    @property
    def units(self) -> str:
        """The level whose groups are compared with each other."""
        return "vm" if len(self.names) <= MOST_UNITS else "host"

    @property
    def host_of(self) -> AnyArray:
        """The host of each VM."""
        found = np.zeros(len(self.names), np.int64)
        found[self.groups["vm"]] = self.groups["host"]
        return found

    def of_vms(self, counts: Sequence[int]) -> AnyArray:
        """Return what counts of members come to for each VM: int64 (vms,)."""
        return np.bincount(self.groups["vm"], counts, len(self.names)).astype(np.int64)


def who_is_who(chosen: Sequence[Mapped], settings: Settings) -> Members:
    """Return the members of all files and their groups."""
    hosts = [_matched(settings.host, one.path) or Path(one.path).stem for one in chosen]
    levels: dict[str, list[str]] = {"vm": [], "tenant": [], "host": [], "all": []}
    for host, one in zip(hosts, chosen, strict=True):
        for member in one.names:
            name = f"{host}/{_matched(settings.vm, member) or member}"
            for level, label in (
                ("vm", name),
                ("tenant", _matched(settings.tenant, name) or ""),
                ("host", host),
                ("all", ""),
            ):
                levels[level].append(label)
    groups, labels = {}, {}
    for level, of in levels.items():
        if level == "vm" and settings.vm is None:  # several may have the same name
            groups[level], labels[level] = np.arange(len(of), dtype=np.uint32), of
        else:
            labels[level] = list(dict.fromkeys(of))
            number = {label: place for place, label in enumerate(labels[level])}
            groups[level] = np.array([number[label] for label in of], np.uint32)
    return Members(labels["vm"], groups, labels)


def _matched(expression: str | None, text: str) -> str | None:
    found = re.search(expression, text) if expression else None
    return None if found is None else (found[1] if found.re.groups else found[0]) or ""
