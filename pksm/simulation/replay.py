"""Recordings as workloads: writes of real memory, played again under any policy.

As with real memory, no bytes are kept: a machine with pages of STORED_BYTES holds a number for each content. Only one
segment of the recording is in memory at a time, and the machine has frames for what was alive at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import I64Array, U64Array, distinct
from pksm.documents import Equals
from pksm.documents.simulate import Replay
from pksm.errors import PksmError, UsageError
from pksm.hosts.machine.page_tables import ORIGIN, maps_frame
from pksm.recording import Block, Kind, Recording
from pksm.recording.between import part_of
from pksm.recording.reader import HEAD_BYTES, Opener, is_recording
from pksm.recording.summary import equals
from pksm.simulation.pace import RealPages
from pksm.simulation.real import STORED_BYTES, hashed_bytes

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm
    from pksm.policies.base import Policy
    from pksm.simulation.simulation import Simulation

NOTED_MS = 1000
SOON_MS = 60_000  # a merge that is undone within that time was hardly worth it
# Pages that forks begin with, and that a machine has to go through: some minutes' work in any recording, and by its bytes
# what a day of large processes takes that fork every minute.
FREE_FORKED, FORKED_A_BYTE = 1_000_000_000, 10_000
STACK = "[stack]"
END = "end of the recording"


@dataclass(frozen=True)
class RecordedWrites:
    """A recording that can be played: what it says of itself, found by a look through all of it.

    Args:
        path: of the file.
        page_size: bytes of a recorded page.
        frames: that hold its pages if nobody merges, at most; what was there before the part that is played, too.
        last_ms: when it ends, from the beginning of what is played.
        every_ms: between two samples; None where it does not say.
        write_rate: writes per page alive and second.
        volatile_share: of memory, over time: contents that are rewritten within a minute.
        equals: how long pages have had equals, as documents have it.
        most_pages: alive at a time in what is played.
        from_ms: when what is played begins: all that was there then is there from time 0 on.
        part: the part that was asked for, as it was written; None: all of it.
        warnings: lines about that part.
        is_whole: it has its end; one that was cut short is played as far as it goes.
        opted_in_only: let a policy that goes by it merge only what processes had opted in.
        opener: opens the file; None: as a file.
    """

    path: str
    page_size: int
    frames: int
    last_ms: int
    every_ms: int | None = None
    write_rate: float = 0.0
    volatile_share: float = 0.0
    equals: Equals | None = None
    most_pages: int = 0
    from_ms: int = 0
    part: str | None = None
    warnings: tuple[str, ...] = ()
    is_whole: bool = True
    opted_in_only: bool = False
    opener: Opener | None = None

    @classmethod
    def opened(
        cls,
        path: str | os.PathLike[str],
        opener: Opener | None = None,
        opted_in_only: bool = False,
        between: str | None = None,
    ) -> RecordedWrites:
        """Read a recording to its end, and return it, or a part of it, as a workload.

        Args:
            path: of the file.
            opener: opens it; None: as a file.
            opted_in_only: as of RecordedWrites.
            between: the part to play, as pksm.recording.between.part_of takes it, such as "9:00-17:00".

        Raises:
            UsageError: it is not a recording, or there is no such part.
            PksmError: it can't be read, or cannot have happened.
        """
        with Recording(path, opener) as recording:
            part = part_of(recording, between) if between is not None else None
            from_ms, until_ms = (part.from_ms, part.until_ms) if part else (0, recording.last_ms)
            state = recording.state_at(until_ms, from_ms=part and part.from_ms)
            if state.forked > FREE_FORKED + FORKED_A_BYTE * recording.members[-1].end:
                raise PksmError(
                    f"{recording.path}: forks of {state.forked:,} pages in so few bytes are too many to play: record fewer "
                    "processes at a time"
                )
            every = recording.header.get("every_ms")
            return cls(
                os.fspath(path),
                recording.page_size,
                state.peak_ever,
                until_ms - from_ms,
                every if type(every) is int and every > 0 else None,
                state.write_rate(until_ms),
                state.volatile_share(until_ms),
                equals(state, until_ms, recording.page_size),
                state.peak,
                from_ms,
                part and part.text,
                (part.lacks,) if part and part.lacks else (),
                recording.end is not None,
                opted_in_only,
                opener,
            )

    @property
    def name(self) -> str:
        """The name of the workload."""
        return part_name(self.path, self.part)

    def pages_of(self, policy: Policy) -> RealPages:
        """Return what the pages of a machine stand for when a policy works on this memory."""
        return RealPages(
            self.page_size, 0.0, (hashed_bytes(policy, self.page_size), hashed_bytes(policy, STORED_BYTES))
        )

    def play(self, sim: Simulation, ledger: Ledger | None = None) -> None:
        """Let everything happen again in a simulation's machine, whose pages are of STORED_BYTES.

        ledger: takes notes of what is saved over time.
        """
        player, ledger = _Player(sim, self.opted_in_only), ledger or Ledger(sim, self)
        with Recording(self.path, self.opener) as recording:
            for block in recording.blocks(until_ms=self.from_ms + self.last_ms):
                _run(sim, block.ms - self.from_ms, ledger)
                player.apply(block)
        _run(sim, self.last_ms, ledger)
        sim.read(END)


def _run(sim: Simulation, until_ms: int, ledger: Ledger) -> None:
    """Let time go on, and take notes every now and then."""
    while sim.now < until_ms:
        ledger.note()
        sim.run(min(until_ms, sim.now + NOTED_MS))
        ledger.note()


def part_name(path: str, part: str | None) -> str:
    """Return what a part of a recording is called; None: all of it."""
    return path if part is None else f"{path}, {part}"


def is_recorded(path: str, opener: Opener | None = None) -> bool:
    """Return whether a file is a recording, by its first bytes; False where it can't be read."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") if opener is None else opener(path) as file:
            return is_recording(file.read(HEAD_BYTES))
    except (OSError, PksmError):
        return False


class _Player:
    """Plays blocks on a simulation's machine."""

    def __init__(self, sim: Simulation, opted_in_only: bool) -> None:
        self._sim, self._machine = sim, sim.machine
        self._opted_in_only = opted_in_only
        self._mms: dict[int, Mm] = {}

    def apply(self, block: Block) -> None:
        """Let what a block says happen, now. PksmError where it can't."""
        try:
            for name, *fields in block.operations:
                getattr(self, f"_{name}")(block.space, *fields)
            if len(block.pages):
                self._change(self._mm(block.space), block)
        except PksmError as error:
            raise type(error)(f"at {block.ms} ms of the recording: {error}") from None

    def _mm(self, space: int) -> Mm:
        if space not in self._mms:
            raise UsageError(f"there is no address space {space}")
        return self._mms[space]

    def _start(self, space: int, pid: int, name: str) -> None:
        self._mms[space] = self._machine.spawn()

    def _fork(self, space: int, parent: int, pid: int, name: str) -> None:
        self._mms[space] = self._machine.fork(self._mm(parent))

    def _exit(self, space: int) -> None:
        self._machine.exit(self._mm(space))
        del self._mms[space]

    def _map(self, space: int, first: int, n: int, name: str, mergeable: bool) -> None:
        opted_in = mergeable or not self._opted_in_only
        size, stack = self._machine.page_size, name.endswith(STACK)
        self._machine.mmap(self._mm(space), n, first * size, mergeable=opted_in, stack=stack)

    def _unmap(self, space: int, first: int, n: int) -> None:
        self._machine.munmap(self._mm(space), first * self._machine.page_size, n)

    def _advise(self, space: int, first: int, n: int, mergeable: bool) -> None:
        if self._opted_in_only:
            advice = "MERGEABLE" if mergeable else "UNMERGEABLE"
            self._machine.madvise(self._mm(space), first * self._machine.page_size, n, advice)

    def _change(self, mm: Mm, block: Block) -> None:
        """Let pages go, come and be written. Merges of the kernel that ran then are not done again."""
        gone, written, same = block.of(Kind.DEATH), block.of(Kind.BIRTH, Kind.WRITE), block.of(Kind.SAME)
        if gone.any():
            self._machine.zap_at(mm, self._addresses(block.pages[gone]))
        if written.any():
            contents = block.contents.astype(np.int64)
            self._machine.write_at(mm, self._addresses(block.pages[written]), contents)
        if same.any():
            self._machine.touch_at(mm, self._addresses(block.pages[same]))

    def _addresses(self, pages: U64Array) -> I64Array:
        return pages.astype(np.int64) * self._machine.page_size


class Ledger:
    """What is saved over time, and how long merges last: note() looks at it, just before and after time goes on."""

    def __init__(self, sim: Simulation, of: RecordedWrites) -> None:
        self._sim, self._of = sim, of
        sim.machine.tables.turned = []
        # By slot of the page tables: whether it is merged, and when that was first seen.
        self._merged, self._since = np.empty(0, bool), np.empty(0, np.int64)
        self._saved = 0.0
        self._last_ms, self._last_saved = sim.now, 0
        self._undone = self._undone_soon = self._freed = 0
        self._most = 0

    def note(self) -> None:
        """Look at what there is now."""
        sim = self._sim
        saved = sim.machine.frames_saved
        self._saved += (saved + self._last_saved) / 2 * (sim.now - self._last_ms)
        self._most = max(self._most, saved)
        self._last_ms, self._last_saved = sim.now, saved
        turned, sim.machine.tables.turned = sim.machine.tables.turned, []
        if turned and sim.machine.merges:
            self._note_merges(sim.machine.tables.ptes, np.concatenate(turned))

    def _note_merges(self, ptes: U64Array, slots: I64Array) -> None:
        """See which of the ptes that were turned are merged now and were not, and the other way round."""
        more = len(ptes) - len(self._merged)
        if more > 0:
            self._merged = np.append(self._merged, np.zeros(more, bool))
            self._since = np.append(self._since, np.zeros(more, np.int64))
        changed = distinct(slots[(ptes[slots] & ORIGIN != 0) != self._merged[slots]])
        merged = self._merged[changed] = ~self._merged[changed]
        ended = changed[~merged]
        stays = maps_frame(ptes[ended])
        self._undone += int(np.count_nonzero(stays))
        self._undone_soon += int(np.count_nonzero(stays & (self._sim.now - self._since[ended] <= SOON_MS)))
        self._freed += int(np.count_nonzero(~stays))
        self._since[changed] = self._sim.now

    def result(self) -> Replay:
        """Return what came of it."""
        page, found = self._of.page_size, self._of.equals
        assert found  # of a recording that was opened
        mean = round(self._saved / self._sim.now * page) if self._sim.now else 0
        return {
            "seconds": self._of.last_ms / 1000,
            "mean_saved_bytes": mean,
            "most_saved_bytes": self._most * page,
            "undone": self._undone,
            "undone_soon": self._undone_soon,
            "freed": self._freed,
            "write_rate": self._of.write_rate,
            "volatile_share": self._of.volatile_share,
            "limbo_mean_bytes": max(0, found["mean_bytes"] - mean),
            "equals": found,
        }
