"""Placement: which VMs on which hosts, so that merging within hosts saves most."""

from collections.abc import Sequence

import numpy as np

from pksm.arrays import AnyArray
from pksm.fleet.filling import Hosts, Plan, Vms

ROUNDS = 20


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
    vms = Vms(contents, n_contents, [0.0] * len(contents) if extra is None else extra)
    plans = []
    if now is not None:
        hosts = Hosts(vms, rooms)
        for vm, host in enumerate(now):
            hosts.put(vm, host)
        plans.append(hosts.plan("as-is"))
    hosts = Hosts(vms, rooms)
    at_random(hosts, np.random.default_rng(seed))
    plans.append(hosts.plan("random"))
    hosts = Hosts(vms, rooms)
    in_order(hosts, np.argsort(-vms.sizes, kind="stable").tolist())
    plans.append(hosts.plan("first-fit"))
    hosts = Hosts(vms, rooms)
    greedy(hosts)
    plans.append(hosts.plan("greedy"))
    plans.append(hosts.plan("local-search", local_search(hosts)))
    return plans


def in_order(hosts: Hosts, order: Sequence[int]) -> None:
    """First fit: put each VM, in this order, on the first host that has room."""
    for vm in order:
        fitting = hosts.fitting(vm)
        if fitting.any():
            hosts.put(vm, int(np.argmax(fitting)))


def at_random(hosts: Hosts, rng: np.random.Generator) -> None:
    """Put each VM on a host drawn from those that have room."""
    for vm in rng.permutation(len(hosts.host_of)).tolist():
        fitting = np.flatnonzero(hosts.fitting(vm))
        if len(fitting):
            hosts.put(vm, int(rng.choice(fitting)))


def greedy(hosts: Hosts) -> None:
    """Put the VM and host together that have most in common, again and again; the largest VM where nothing is.

    Takes time for each VM as the number of VMs that are left, times the number of hosts.
    """
    vms = hosts.vms
    need = vms.sizes + vms.extra
    rank = int(vms.sizes.max(initial=0)) + 1  # larger than any size: it counts where what is in common is equal
    left = np.arange(len(vms.sizes))
    while len(left):
        gain = hosts.gain[left]
        gain = np.where(need[left, np.newaxis] - gain <= hosts.left, gain, -1)
        most = gain.max(axis=1)
        fits = most >= 0  # who fits nowhere now will not later: what others share with it, they take room for
        left, gain, most = left[fits], gain[fits], most[fits]
        if not len(left):
            return
        best = int(np.argmax(most.astype(np.int64) * rank + vms.sizes[left]))
        emptiest = int(np.argmax(np.where(gain[best] == most[best], hosts.left, -np.inf)))
        hosts.put(int(left[best]), emptiest)
        left = np.delete(left, best)


def local_search(hosts: Hosts) -> bool:
    """Move a VM, or swap two, while that saves more; put what had no room where there is some now.

    Returns:
        Whether nothing more can be gained so: not all was tried otherwise.
    """
    return any(not (_moved(hosts) | _swapped(hosts)) for _ in range(ROUNDS))


def _moved(hosts: Hosts) -> bool:
    changed = False
    for vm in range(len(hosts.host_of)):
        was = int(hosts.host_of[vm])
        gain = np.where(hosts.fitting(vm), hosts.gain[vm], -1)
        if was >= 0:
            gain[was] = -1
        best = int(np.argmax(gain))
        if gain[best] > (hosts.shared(vm) if was >= 0 else -1):
            if was >= 0:
                hosts.take(vm)
            hosts.put(vm, best)
            changed = True
    return changed


def _swapped(hosts: Hosts) -> bool:
    """Swap two VMs where that saves more, each with all before it. Only pairs whose gain could be enough are looked at."""
    changed = False
    shared = np.array([hosts.shared(vm) if host >= 0 else 0 for vm, host in enumerate(hosts.host_of.tolist())])
    for one in range(len(shared)):
        two = 0
        while (two := _next_swap(hosts, shared, one, two)) < one:
            here, there = int(hosts.host_of[one]), int(hosts.host_of[two])
            hosts.take(one)
            hosts.take(two)
            hosts.put(one, there)
            hosts.put(two, here)
            changed = True
            for vm in np.flatnonzero((hosts.host_of == here) | (hosts.host_of == there)).tolist():
                shared[vm] = hosts.shared(vm)
            two += 1
    return changed


def _next_swap(hosts: Hosts, shared: AnyArray, one: int, start: int) -> int:
    """Return the first VM from `start` on, before `one`, that a swap with it saves more with; `one` if there is none."""
    here = int(hosts.host_of[one])
    if here < 0:
        return one
    there = hosts.host_of[start:one]
    most = hosts.gain[one, there] + hosts.gain[start:one, here] - shared[one] - shared[start:one]
    for two in (start + np.flatnonzero((there >= 0) & (there != here) & (most > 0))).tolist():
        first, second = hosts.shared_in_place_of(one, two), hosts.shared_in_place_of(two, one)
        if first + second > shared[one] + shared[two] and _fits(hosts, shared, one, two, first):
            if _fits(hosts, shared, two, one, second):
                return int(two)
    return one


def _fits(hosts: Hosts, shared: AnyArray, vm: int, other: int, in_common: int) -> bool:
    """Return whether there is room for a VM where another one is, without that one."""
    vms = hosts.vms
    freed = vms.sizes[other] - shared[other] + vms.extra[other]
    return bool(vms.sizes[vm] - in_common + vms.extra[vm] <= hosts.left[hosts.host_of[other]] + freed)
