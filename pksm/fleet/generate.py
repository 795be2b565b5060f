"""Fleets with known answers: VMs of a tree of images, as content ids without bytes."""

from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray, StructArray
from pksm.fleet.rows import rows_of


@dataclass(frozen=True)
class Fleet:
    """VMs on hosts.

    Args:
        contents: of each VM, the ids of its contents, uint64, one per page.
        host_of: int (vms,).
        keys: whether ids are spread evenly, as checksums are: always here.
    """

    contents: list[AnyArray]
    host_of: AnyArray

    @property
    def rows(self) -> StructArray:
        """All its rows (ROW), members being VMs."""
        members = np.repeat(np.arange(len(self.contents), dtype=np.uint32), [len(one) for one in self.contents])
        ids = np.concatenate(self.contents)
        return rows_of(ids, np.ones(len(ids), np.uint64), members)


def tree_fleet(vms: int, pages: int, hosts: int, systems: int = 3, releases: int = 4, seed: int = 0) -> Fleet:
    """Return VMs whose contents come from a system, a release of it, and themselves: 30, 20 and 50 percent of pages.

    Args:
        vms, pages: how many, and pages of each.
        hosts: on which they are, in turn.
        systems, releases: of the tree: operating systems, and releases of each.
        seed: of the choice of pages, and of the ids.
    """
    rng = np.random.default_rng(seed)
    shares = int(pages * 0.3), int(pages * 0.2)
    made = []
    for vm in range(vms):
        system, release = int(rng.integers(systems)), int(rng.integers(releases))
        of_system = _ids(seed, 1, system, rng.permutation(2 * shares[0])[: shares[0]])
        of_release = _ids(seed, 2, system * releases + release, rng.permutation(2 * shares[1])[: shares[1]])
        own = _ids(seed, 3, vm, np.arange(pages - sum(shares)))
        made.append(np.concatenate([of_system, of_release, own]))
    return Fleet(made, np.arange(vms) % hosts)


def _ids(seed: int, kind: int, image: int, places: AnyArray) -> AnyArray:
    """Return ids that are spread evenly over 64 bits: a mixing of what they stand for (splitmix64)."""
    base = np.uint64((((seed * 31 + kind) << 58) ^ (image << 34)) & 0xFFFFFFFFFFFFFFFF)
    with np.errstate(over="ignore"):
        value = (base + places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ value >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ value >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    mixed: AnyArray = value ^ value >> np.uint64(31)
    return mixed
