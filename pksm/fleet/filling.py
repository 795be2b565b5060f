"""Hosts as they fill with VMs: which contents each holds how often, what VMs would share there, and the room left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray, BoolArray
from pksm.fleet.incidence import Owners


@dataclass
class Plan:
    """Which VM is where.

    Attributes:
        host_of: int (vms,), the host of each VM, -1 for none.
        left: float (hosts,), the room that is left on each host, in contents; below 0: it holds more than it has room
            for, which today's plan alone can do.
        is_local_optimum: whether no VM that is moved, and no two that are swapped, would save more.
    """

    name: str
    host_of: AnyArray
    left: AnyArray
    is_local_optimum: bool = False


class Vms:
    """What VMs have.

    Args:
        contents: of each VM, the indexes of its contents, uint32, each once.
        n_contents: how many contents there are in all.
        extra: of each VM, what it takes whoever is beside it, in the same measure.
    """

    def __init__(self, contents: Sequence[AnyArray], n_contents: int, extra: Sequence[float]) -> None:
        self.contents, self.n_contents = contents, n_contents
        self.sizes = np.array([len(one) for one in contents], np.int64)
        self.extra = np.array(extra, np.float64)
        index = np.concatenate([np.zeros(0, np.uint32), *contents])
        self.owners = Owners(index, np.repeat(np.arange(len(contents)), self.sizes), n_contents, len(contents))


class Hosts:
    """Hosts as they fill.

    Args:
        vms: who can be put on them.
        rooms: of each host, contents that fit; those of a sample where contents are sampled.

    Attributes:
        gain: int (vms, hosts), of each VM the contents that a host holds; of its own host, all of them.
        left, host_of: as Plan has them.
    """

    def __init__(self, vms: Vms, rooms: Sequence[float]) -> None:
        self.vms = vms
        self._held = np.zeros((len(rooms), vms.n_contents), np.uint16)
        self._marks = np.zeros(vms.n_contents, np.uint16)
        self.gain = np.zeros((len(vms.contents), len(rooms)), np.int32)
        self.left = np.array(rooms, np.float64)
        self.host_of = np.full(len(vms.contents), -1)

    def fitting(self, vm: int) -> BoolArray:
        """Return which hosts have room for what a VM that is nowhere would not share there: bool (hosts,)."""
        fits: BoolArray = self.vms.sizes[vm] - self.gain[vm] + self.vms.extra[vm] <= self.left
        return fits

    def shared(self, vm: int) -> int:
        """Return how many contents of a VM others on its host have, too."""
        return int((self._held[self.host_of[vm], self.vms.contents[vm]] > 1).sum())

    def put(self, vm: int, host: int) -> None:
        """Place a VM that is nowhere."""
        own = self.vms.contents[vm]
        self.left[host] -= len(own) - self.gain[vm, host] + self.vms.extra[vm]
        new = own[self._held[host, own] == 0]
        self._held[host, own] += np.uint16(1)
        self.gain[:, host] += self.vms.owners.of(new)
        self.host_of[vm] = host

    def take(self, vm: int) -> None:
        """Take a VM away."""
        own, host = self.vms.contents[vm], int(self.host_of[vm])
        self._held[host, own] -= np.uint16(1)
        gone = own[self._held[host, own] == 0]
        self.gain[:, host] -= self.vms.owners.of(gone)
        self.left[host] += len(gone) + self.vms.extra[vm]
        self.host_of[vm] = -1

    def shared_in_place_of(self, vm: int, other: int) -> int:
        """Return how many contents of a VM those on another one's host have besides that one."""
        own, others = self.vms.contents[vm], self.vms.contents[other]
        self._marks[others] = 1
        found = int((self._held[self.host_of[other], own] > self._marks[own]).sum())
        self._marks[others] = 0
        return found

    def plan(self, name: str, is_local_optimum: bool = False) -> Plan:
        """Return where the VMs are, under this name."""
        return Plan(name, self.host_of.copy(), self.left.copy(), is_local_optimum)

    def check(self) -> None:
        """Raise AssertionError unless what hosts hold is what their VMs have."""
        for host in range(len(self.left)):
            held = np.zeros(self.vms.n_contents, np.uint16)
            for vm in np.flatnonzero(self.host_of == host).tolist():
                held[self.vms.contents[vm]] += np.uint16(1)
            assert (held == self._held[host]).all()
            for vm, own in enumerate(self.vms.contents):
                assert self.gain[vm, host] == (held[own] > 0).sum()
