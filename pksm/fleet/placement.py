"""Which VMs on which hosts: greedy by marginal gain, then local search; beside first-fit by size, random, as it is."""

from dataclasses import dataclass

import numpy as np

from pksm.arrays import FloatArray, I64Array, IntArray, distinct
from pksm.errors import PksmError, UsageError
from pksm.fleet.rows import Contents

ROUNDS = 50  # of local search, each over all VMs
MOST_EXCHANGED = 64  # VMs up to which local search tries to exchange two
GUARANTEE = (
    "none by a constant factor: what two VMs share can be anything, and then no greedy rule has one; it is never worse "
    "than first-fit by size, nor than the present placement if that fits"
)


@dataclass(frozen=True)
class Memories:
    """What VMs hold: row r says that VM vm[r] has content content[r].

    Args:
        vm, content: numbers, one of each for a row.
        frames: what one content weighs in frames: 1, or 1 / share where the rows are a sample.
        vms, contents: how many there are.
    """

    vm: IntArray
    content: IntArray
    frames: float
    vms: int
    contents: int


def memories(contents: Contents, vms: int, share: float = 1.0) -> Memories:
    """Return what VMs hold of contents, which may be a sample of this share."""
    return Memories(contents.rows["member"].astype(np.int64), contents.of_rows, 1 / share, vms, len(contents))


def frames(held: Memories, host: IntArray, hosts: int) -> FloatArray:
    """Return the frames of each host if all equal pages on it merge.

    Args:
        held: what the VMs hold.
        host: of each VM, by number.
        hosts: how many there are.
    """
    keys = distinct(host[held.vm].astype(np.int64) * held.contents + held.content)
    counts = np.bincount(keys // max(1, held.contents), minlength=hosts)
    return counts.astype(np.float64) * held.frames


@dataclass(frozen=True)
class Placement:
    """The host of each VM, and the frames that all hosts then need."""

    host: I64Array
    frames: float

    def moved(self, now: IntArray) -> int:
        """Return how many VMs are elsewhere now."""
        return int((self.host != now).sum())


def place(held: Memories, capacity: IntArray | FloatArray, now: IntArray | None = None) -> Placement:
    """Return the best placement found, each host within its capacity once equal pages on it are merged.

    Args:
        held: what the VMs hold.
        capacity: frames of each host.
        now: the present host of each VM, if known.

    Raises:
        PksmError: no placement was found that fits.
    """
    capacity = np.asarray(capacity, np.float64)
    starts = [made for made in (greedy(held, capacity), first_fit(held, capacity)) if made is not None]
    if now is not None and (frames(held, now, len(capacity)) <= capacity).all():
        starts.append(_placed(held, np.asarray(now, np.int64), len(capacity)))
    if not starts:
        raise PksmError(f"no placement of {held.vms} VMs on {len(capacity)} hosts was found that fits")
    return min((improved(held, capacity, start) for start in starts), key=lambda made: made.frames)


def greedy(held: Memories, capacity: FloatArray) -> Placement | None:
    """Return hosts filled one after the other with the VM that shares most of itself there; None if not all fit."""
    host = np.full(held.vms, -1, np.int64)
    size = _sizes(held)
    for number in np.argsort(-capacity, kind="stable").tolist():
        present, room = np.zeros(held.contents, bool), float(capacity[number])
        while True:
            gain = np.bincount(held.vm, weights=present[held.content], minlength=held.vms) * held.frames
            fits = (host < 0) & (size - gain <= room)
            if not fits.any():
                break
            score = np.where(fits, gain / np.maximum(size, 1) + size / (1 + 2 * size.sum()), -1.0)
            best = int(np.argmax(score))
            host[best] = number
            room -= float(size[best] - gain[best])
            present[held.content[held.vm == best]] = True
    return None if (host < 0).any() else _placed(held, host, len(capacity))


def first_fit(held: Memories, capacity: FloatArray) -> Placement | None:
    """Return the largest VMs first, each on the first host with room for it; None if not all fit."""
    return _one_by_one(held, np.asarray(capacity, np.float64), np.argsort(-_sizes(held), kind="stable"), None)


def at_random(held: Memories, capacity: FloatArray, seed: int) -> Placement | None:
    """Return VMs in random order, each on a random host with room for it; None if not all fit."""
    random = np.random.default_rng(seed)
    return _one_by_one(held, np.asarray(capacity, np.float64), random.permutation(held.vms), random)


def improved(held: Memories, capacity: FloatArray, start: Placement) -> Placement:
    """Return a placement that no move of one VM betters; nor, among few VMs, an exchange of two."""
    search = _Search(held, np.asarray(capacity, np.float64), start.host)
    for _ in range(ROUNDS):
        if not (search.move_each() or (held.vms <= MOST_EXCHANGED and search.exchange_each())):
            break
    return _placed(held, search.host, len(capacity))


class _Search:
    """VMs on hosts, and how many VMs of each host hold each content."""

    def __init__(self, held: Memories, capacity: FloatArray, host: I64Array) -> None:
        if (frames(held, host, len(capacity)) > capacity).any():
            raise UsageError("the placement to begin with is beyond the capacity of a host", "start")
        self.held, self.capacity, self.host = held, capacity, host.copy()
        order = np.argsort(held.vm, kind="stable")
        self.contents = np.split(held.content[order], np.cumsum(np.bincount(held.vm, minlength=held.vms))[:-1])
        self.holders = np.zeros((len(capacity), held.contents), np.int32)
        np.add.at(self.holders, (host[held.vm], held.content), 1)
        self.used = frames(held, host, len(capacity))

    def move_each(self) -> bool:
        """Move each VM to where it saves most. Returns whether one was moved."""
        moved = False
        for vm in range(self.held.vms):
            now = int(self.host[vm])
            freed = self._freed(vm)
            taken = (self.holders[:, self.contents[vm]] == 0).sum(axis=1) * self.held.frames
            taken[(self.used + taken > self.capacity)] = np.inf
            taken[now] = freed
            best = int(np.argmin(taken))
            if taken[best] < freed - 1e-9:
                self._move(vm, best)
                moved = True
        return moved

    def exchange_each(self) -> bool:
        """Exchange pairs of VMs where that saves frames. Returns whether one pair was exchanged."""
        exchanged = False
        for one in range(self.held.vms):
            for other in range(one):
                a, b = int(self.host[one]), int(self.host[other])
                if a == b:
                    continue
                before = float(self.used.sum())
                self._move(one, b)
                self._move(other, a)
                if float(self.used.sum()) < before - 1e-9 and (self.used <= self.capacity + 1e-9).all():
                    exchanged = True
                else:
                    self._move(one, a)
                    self._move(other, b)
        return exchanged

    def _freed(self, vm: int) -> float:
        return float((self.holders[self.host[vm], self.contents[vm]] == 1).sum() * self.held.frames)

    def _move(self, vm: int, to: int) -> None:
        contents, now = self.contents[vm], int(self.host[vm])
        self.used[now] -= self._freed(vm)
        self.holders[now, contents] -= 1
        self.used[to] += (self.holders[to, contents] == 0).sum() * self.held.frames
        self.holders[to, contents] += 1
        self.host[vm] = to


def _one_by_one(
    held: Memories, capacity: FloatArray, order: I64Array, random: np.random.Generator | None
) -> Placement | None:
    present = np.zeros((len(capacity), held.contents), bool)
    room, host = capacity.copy(), np.full(held.vms, -1, np.int64)
    for vm in order.tolist():
        contents = held.content[held.vm == vm]
        taken = (~present[:, contents]).sum(axis=1) * held.frames
        fits = np.flatnonzero(taken <= room)
        if not len(fits):
            return None
        to = int(fits[0] if random is None else random.choice(fits))
        host[vm] = to
        room[to] -= taken[to]
        present[to, contents] = True
    return _placed(held, host, len(capacity))


def _sizes(held: Memories) -> FloatArray:
    return np.bincount(held.vm, minlength=held.vms).astype(np.float64) * held.frames


def _placed(held: Memories, host: I64Array, hosts: int) -> Placement:
    return Placement(host, float(frames(held, host, hosts).sum()))
