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
        systems, releases: of the tree: operating systems, and releases of each; VMs have them in turn.
        seed: of the choice of pages, and of the ids.
    """
    made = [tree_vm(vm, pages, systems, releases, seed) for vm in range(vms)]
    return Fleet(made, np.arange(vms) % hosts)


def tree_vm(vm: int, pages: int, systems: int = 3, releases: int = 4, seed: int = 0) -> AnyArray:
    """Return the contents of one VM of tree_fleet(), uint64 (pages,): a fleet that no memory holds is made so.

    Args:
        vm: its number.
        pages, systems, releases, seed: as tree_fleet() takes them.
    """
    rng = np.random.default_rng([seed, vm])
    of_system, of_release = _shares(pages)
    system, release = vm % systems, vm // systems % releases
    return np.concatenate(
        [
            _ids(seed, 1, system, rng.permutation(2 * of_system)[:of_system]),
            _ids(seed, 2, system * releases + release, rng.permutation(2 * of_release)[:of_release]),
            _ids(seed, 3, vm, np.arange(pages - of_system - of_release)),
        ]
    )


def tree_contents(vms: int, pages: int, systems: int = 3, releases: int = 4) -> float:
    """Return the number of distinct contents to expect in tree_fleet(): what it has, once each image has many VMs.

    A VM has half of the pages of each of its images, at random: n VMs lack one of them with the chance 2^-n.
    """
    of_system, of_release = _shares(pages)
    found = float(vms * (pages - of_system - of_release))
    for share, n in ((of_system, systems), (of_release, systems * releases)):
        found += sum(2 * share * (1 - 0.5 ** len(range(image, vms, n))) for image in range(n))
    return found


def _shares(pages: int) -> tuple[int, int]:
    """Return how many pages of a VM are of its system, and of its release."""
    return int(pages * 0.3), int(pages * 0.2)


def _ids(seed: int, kind: int, image: int, places: AnyArray) -> AnyArray:
    """Return ids that are spread evenly over 64 bits: a mixing of what they stand for (splitmix64)."""
    base = np.uint64((((seed * 31 + kind) << 58) ^ (image << 34)) & 0xFFFFFFFFFFFFFFFF)
    with np.errstate(over="ignore"):
        value = (base + places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ value >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ value >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    mixed: AnyArray = value ^ value >> np.uint64(31)
    return mixed
