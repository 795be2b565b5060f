"""Placement: which VMs on which hosts, so that merging within hosts saves most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray

GUARANTEE = (
    "None is known for several hosts with limits: what is saved grows faster the more alike VMs are together "
    "(it is supermodular). The plan cannot be improved by moving one VM or by swapping two."
)
ROUNDS = 20


@dataclass
class Plan:
    """host_of: int (vms,), the host of each VM, -1 for none."""

    name: str
    host_of: AnyArray


class Hosts:
    """The hosts as they fill: which contents each holds how often, and how much room is left.

    Args:
        contents: of each VM, the indexes of its contents, uint32, each once.
        n_contents: how many contents there are in all.
        rooms: of each host, contents that fit; those of a sample where contents are sampled.
        extra: of each VM, pages that it takes whoever is beside it, in the same measure.
    """

    def __init__(
        self, contents: Sequence[AnyArray], n_contents: int, rooms: Sequence[float], extra: Sequence[float]
    ) -> None:
        self.contents, self.extra = contents, extra
        self.held = np.zeros((len(rooms), n_contents), np.uint16)
        self.left = np.array(rooms, np.float64)
        self.host_of = np.full(len(contents), -1)

    def shared(self, vm: int, host: int) -> int:
        """Contents of a VM that others on the host have, too."""
        held = self.held[host, self.contents[vm]]
        return int((held > (1 if self.host_of[vm] == host else 0)).sum())

    def fits(self, vm: int, host: int) -> bool:
        """Whether there is room for what the VM does not share."""
        return bool(len(self.contents[vm]) - self.shared(vm, host) + self.extra[vm] <= self.left[host])

    def put(self, vm: int, host: int) -> None:
        """Place a VM that is nowhere."""
        self.left[host] -= len(self.contents[vm]) - self.shared(vm, host) + self.extra[vm]
        self.held[host, self.contents[vm]] += np.uint16(1)
        self.host_of[vm] = host

    def take(self, vm: int) -> int:
        """Take a VM away, and return the host it was on."""
        host = int(self.host_of[vm])
        freed = len(self.contents[vm]) - self.shared(vm, host)
        self.held[host, self.contents[vm]] -= np.uint16(1)
        self.left[host] += freed + self.extra[vm]
        self.host_of[vm] = -1
        return host

    @property
    def saved(self) -> int:
        """Contents that merging within hosts saves: those of VMs, less those that hosts hold."""
        placed = sum(len(self.contents[vm]) for vm in np.flatnonzero(self.host_of >= 0).tolist())
        return placed - int((self.held > 0).sum())

    def check(self) -> None:
        """Raise AssertionError unless what hosts hold is what their VMs have."""
        held = np.zeros_like(self.held)
        for vm, host in enumerate(self.host_of.tolist()):
            if host >= 0:
                held[host, self.contents[vm]] += np.uint16(1)
        assert (held == self.held).all()


def in_order(hosts: Hosts, order: Sequence[int]) -> None:
    """First fit: put each VM, in this order, on the first host that has room."""
    for vm in order:
        fitting = (host for host in range(len(hosts.left)) if hosts.fits(vm, host))
        host = next(fitting, None)
        if host is not None:
            hosts.put(vm, host)


def at_random(hosts: Hosts, rng: np.random.Generator) -> None:
    """Put each VM on a host drawn from those that have room."""
    for vm in rng.permutation(len(hosts.contents)).tolist():
        fitting = [host for host in range(len(hosts.left)) if hosts.fits(vm, host)]
        if fitting:
            hosts.put(vm, int(rng.choice(fitting)))


def greedy(hosts: Hosts) -> None:
    """Put the VM and host together that have most in common, again and again; the largest VM where nothing is."""
    size = np.array([len(one) for one in hosts.contents])
    n_hosts = len(hosts.left)
    gain = np.zeros((len(size), n_hosts))
    open_ = np.ones(len(size), bool)
    while open_.any():
        best, choice = (-1.0, -1), None
        for vm in np.flatnonzero(open_).tolist():
            fitting = [host for host in range(n_hosts) if hosts.fits(vm, host)]
            if not fitting:
                open_[vm] = False
                continue
            host = max(fitting, key=lambda host: (gain[vm, host], hosts.left[host]))
            if (float(gain[vm, host]), int(size[vm])) > best:
                best, choice = (float(gain[vm, host]), int(size[vm])), (vm, host)
        if choice is None:
            return
        vm, host = choice
        hosts.put(vm, host)
        open_[vm] = False
        for other in np.flatnonzero(open_).tolist():
            gain[other, host] = hosts.shared(other, host)


def local_search(hosts: Hosts) -> None:
    """Move a VM, or swap two, while that saves more; put what had no room where there is some now."""
    for _ in range(ROUNDS):
        if not (_moved(hosts) | _swapped(hosts)):
            return


def _moved(hosts: Hosts) -> bool:
    changed = False
    for vm in range(len(hosts.contents)):
        was = int(hosts.host_of[vm])
        before = hosts.shared(vm, was) if was >= 0 else -1
        if was >= 0:
            hosts.take(vm)
        fitting = [host for host in range(len(hosts.left)) if hosts.fits(vm, host)]
        best = max(fitting, key=lambda host: hosts.shared(vm, host), default=-1)
        if best >= 0 and (was < 0 or hosts.shared(vm, best) > before):
            hosts.put(vm, best)
            changed = True
        elif was >= 0:
            hosts.put(vm, was)
    return changed


def _swapped(hosts: Hosts) -> bool:
    changed = False
    for one in range(len(hosts.contents)):
        for two in range(one):
            here, there = int(hosts.host_of[one]), int(hosts.host_of[two])
            if here < 0 or there < 0 or here == there:
                continue
            before = hosts.shared(one, here) + hosts.shared(two, there)
            hosts.take(one)
            hosts.take(two)
            better = False
            if hosts.fits(one, there) and hosts.fits(two, here):
                hosts.put(one, there)
                hosts.put(two, here)
                better = hosts.shared(one, there) + hosts.shared(two, here) > before
                if not better:
                    hosts.take(one)
                    hosts.take(two)
            if better:
                changed = True
            else:
                hosts.put(one, here)
                hosts.put(two, there)
    return changed


def place(
    contents: Sequence[AnyArray],
    n_contents: int,
    rooms: Sequence[float],
    extra: Sequence[float] | None = None,
    now: Sequence[int] | None = None,
    seed: int = 0,
) -> list[Plan]:
    """Return plans, the best last: as-is (where `now` is known), random, first-fit, greedy, local-search.

    Args:
        contents: of each VM, the indexes of its contents, uint32, each once.
        n_contents: how many there are in all.
        rooms: of each host, the contents that fit; infinite where nothing limits it.
        extra: of each VM, what it takes besides, in the same measure; None: nothing.
        now: the host of each VM today.
        seed: of the random plan.
    """
    extra = [0.0] * len(contents) if extra is None else extra

    def empty() -> Hosts:
        return Hosts(contents, n_contents, rooms, extra)

    plans = []
    if now is not None:
        hosts = empty()
        for vm, host in enumerate(now):
            hosts.put(vm, host)
        plans.append(Plan("as-is", hosts.host_of.copy()))
    hosts = empty()
    at_random(hosts, np.random.default_rng(seed))
    plans.append(Plan("random", hosts.host_of.copy()))
    hosts = empty()
    in_order(hosts, np.argsort([-len(one) for one in contents], kind="stable").tolist())
    plans.append(Plan("first-fit", hosts.host_of.copy()))
    hosts = empty()
    greedy(hosts)
    plans.append(Plan("greedy", hosts.host_of.copy()))
    local_search(hosts)
    hosts.check()
    plans.append(Plan("local-search", hosts.host_of.copy()))
    return plans
