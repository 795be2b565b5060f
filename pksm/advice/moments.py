"""Moments of a recording: what kind of equal pages there were, on average over looks at even distances."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from pksm.arrays import U32Array
from pksm.recording import Recording
from pksm.recording.state import Held, Space, State
from pksm.simulation.replay import RecordedWrites

LOOKS = 60


@dataclass(frozen=True)
class Moments:
    """Equal pages by kind, in frames that merging would save: means over the looks.

    Attributes:
        zero_pages: frames of zero pages.
        within_pages: equal within one process, zero pages aside.
        across_pages: equal across processes only.
        shared_contents: contents, the zero page aside, that two processes or more had; the most of them at a look.
        largest_group: frames of one content, the zero page aside; the most at a look.
        names: of the processes that there were at some look, each once.
    """

    zero_pages: float
    within_pages: float
    across_pages: float
    shared_contents: int
    largest_group: int
    names: list[str]

    @property
    def saved_pages(self) -> float:
        """What merging saves, of all kinds."""
        return self.zero_pages + self.within_pages + self.across_pages


def seen_in(workload: RecordedWrites, looks: int = LOOKS) -> Moments:
    """Go through what is played of a recording and look at it, in the middle of each of so many parts of its time."""
    found: list[tuple[int, int, int, int, int]] = []
    names: dict[str, None] = {}
    seen = False  # what there is now

    def look(state: State) -> None:
        nonlocal seen
        found.append(found[-1] if seen else _look(list(state.spaces.values())))
        if not seen:
            names.update(dict.fromkeys(_name(space) for space in state.spaces.values()))
        seen = True

    state, length = State(), workload.last_ms
    times = [workload.from_ms + (2 * number + 1) * length / (2 * looks) for number in range(looks)]
    with Recording(workload.path, workload.opener) as recording:
        for block in recording.blocks(until_ms=workload.from_ms + length):
            while len(found) < looks and times[len(found)] < block.ms:
                look(state)
            state.apply(block)
            seen = False
    while len(found) < looks:
        look(state)
    zero, within, across, shared, largest = zip(*found, strict=True)
    means = [float(np.mean(column)) for column in (zero, within, across)]
    return Moments(means[0], means[1], means[2], max(shared), max(largest), list(names))


def _name(space: Space) -> str:
    called = f"pid {space.pid}"
    return space.name if not space.pid or space.name.startswith(called) else f"{space.name} ({called})"


def _look(spaces: list[Space]) -> tuple[int, int, int, int, int]:
    """Return the frames of zero pages, those saved within processes and across them, contents shared, the largest group."""
    holders = Counter(id(space.held) for space in spaces)  # of what forks share
    held = {id(space.held): space.held for space in spaces}
    frames = [_frames(one) for one in held.values()]
    if not frames:
        return 0, 0, 0, 0, 0
    times = [holders[key] for key in held]
    own = [(copies[contents > 0], contents[contents > 0]) for copies, contents in frames]
    distinct = [np.unique(contents) for _, contents in own]
    within = sum(n * (len(contents) - len(each)) for n, (_, contents), each in zip(times, own, distinct, strict=True))
    copies, first = np.unique(np.concatenate([copies for copies, _ in own]), return_index=True)
    contents = np.concatenate([contents for _, contents in own])[first]
    _, sizes = np.unique(contents, return_counts=True)
    twice = [each for n, each in zip(times, distinct, strict=True) for _ in range(min(n, 2))]
    _, processes = np.unique(np.concatenate(twice), return_counts=True)
    zero = len(np.unique(np.concatenate([copies[contents == 0] for copies, contents in frames])))
    saved = len(copies) - len(sizes)
    within = min(within, saved)
    return zero, within, saved - within, int(np.count_nonzero(processes > 1)), int(sizes.max(initial=0))


def _frames(held: Held) -> tuple[U32Array, U32Array]:
    """Return the frames of what an address space holds, and what is in them, each once."""
    copies, first = np.unique(held.copies, return_index=True)
    return copies, held.contents[first]
