"""Real memory as a workload: processes with mappings, by content id, over the frames that they share.

No bytes are kept: a machine with pages of STORED_BYTES holds a number for each content. Addresses are not the real
ones, their order is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import I64Array, U8Array, U32Array
from pksm.engine.checksums.strategies import describe
from pksm.simulation.pace import RealPages

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm
    from pksm.policies.base import Policy
    from pksm.simulation.simulation import Simulation

STORED_BYTES = 8  # of a page that stands for a real one
LIMIT_MS = 86_400_000
AT_REST, NOT_AT_REST = "at rest", "not at rest after a day"


def _nowhere() -> U32Array:
    return np.empty(0, np.uint32)


@dataclass(frozen=True)
class Area:
    """Consecutive pages of one mapping. opted_in: the kernel's KSM may merge them."""

    name: str
    pages: int
    opted_in: bool = True


@dataclass(frozen=True)
class Process:
    """The memory of one source.

    Attributes:
        name: of the source.
        areas: its pages beside those of the family, by address.
        contents: the content id of each of them, 0 for zero: uint32.
        maps: which of the family's pages it maps: bits, uint8, as np.packbits has them.
        facts: what else is known: pid, command, user, cgroup, vm.
        places: where in the family's address space each of them is, uint32; empty: behind what the family shares.
    """

    name: str
    areas: tuple[Area, ...]
    contents: U32Array
    maps: U8Array
    facts: Mapping[str, Any] = field(default_factory=dict)
    places: U32Array = field(default_factory=_nowhere)


@dataclass(frozen=True)
class Family:
    """Processes that have frames in common, as after a fork; most have none and are a family each.

    areas, contents, places: of the frames that two or more of them map, as in Process.
    span: pages of the address space in which all of them lie, in the order of their addresses; 0: places are not known.
    """

    areas: tuple[Area, ...]
    contents: U32Array
    processes: tuple[Process, ...]
    places: U32Array = field(default_factory=_nowhere)
    span: int = 0


@dataclass(frozen=True)
class RealMemory:
    """What some sources held when they were read. It pickles, and takes about four bytes per page.

    Attributes:
        name: of all sources together.
        page_size: bytes of a real page.
        families: the processes.
        prefix_bytes: that two different pages have in common from their start on, when a search through a content tree
            compares them; the mean.
        warnings: lines about the reading.
    """

    name: str
    page_size: int
    families: tuple[Family, ...]
    prefix_bytes: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def processes(self) -> list[Process]:
        """All processes, in the order of the sources they were read from but for families, which stay together."""
        return [process for family in self.families for process in family.processes]

    @property
    def frames(self) -> int:
        """Frames that hold these pages while nothing is merged."""
        return sum(
            len(family.contents) + sum(len(process.contents) for process in family.processes)
            for family in self.families
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(
            _bytes_of(family.contents, family.places)
            + sum(_bytes_of(one.contents, one.maps, one.places) for one in family.processes)
            for family in self.families
        )

    def only(self, names: Sequence[str]) -> RealMemory:
        """Return the memory with the named processes alone opted in, as if only these let KSM merge."""
        from dataclasses import replace

        def areas(process: Process, of: tuple[Area, ...]) -> tuple[Area, ...]:
            return tuple(replace(area, opted_in=process.name in names) for area in of)

        families = tuple(
            replace(
                family,
                areas=areas(family.processes[0], family.areas),
                processes=tuple(replace(one, areas=areas(one, one.areas)) for one in family.processes),
            )
            for family in self.families
        )
        return replace(self, families=families)

    def pages_of(self, policy: Policy) -> RealPages:
        """Return what the pages of a machine stand for when a policy works on this memory."""
        hashed = hashed_bytes(policy, self.page_size), hashed_bytes(policy, STORED_BYTES)
        return RealPages(self.page_size, self.prefix_bytes, hashed)

    def play(self, sim: Simulation) -> None:
        """Put the memory into a simulation's machine, whose pages are of STORED_BYTES, and let it come to rest."""
        for family in self.families:
            _start(sim, family)
        at_rest = sim.run_until_rest(limit_ms=LIMIT_MS)
        sim.read(AT_REST if at_rest else NOT_AT_REST)


def _bytes_of(*columns: np.ndarray[Any, Any]) -> int:
    return sum(column.nbytes for column in columns)


def _start(sim: Simulation, family: Family) -> None:
    """Start the processes of a family: the first one has the frames of all, the others are its forks."""
    if family.span:
        _start_in_place(sim, family)
        return
    first, *others = family.processes
    sim.names.add_process(first.name, sim.machine.spawn)
    parent = sim.names.process(first.name)
    shared = _map(sim, first.name, parent, family.areas, family.contents, 0)
    for process in others:
        sim.names.add_process(process.name, lambda: sim.machine.fork(parent), like=first.name)
    for process in family.processes:
        mm = sim.names.process(process.name)
        maps = np.unpackbits(process.maps, count=len(family.contents)).astype(bool)
        sim.machine.zap_at(mm, shared[~maps])
        behind = int(shared[-1]) + 2 * sim.machine.page_size if len(shared) else 0
        _map(sim, process.name, mm, process.areas, process.contents, behind)


def _map(
    sim: Simulation, name: str, mm: Mm, areas: Sequence[Area], contents: U32Array, address: int
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Map areas one behind the other with a hole of a page between two, write them, and return the pages' addresses."""
    page_size, done = sim.machine.page_size, 0
    addresses = np.empty(len(contents), np.int64)
    for area in areas:
        at = sim.machine.mmap(mm, area.pages, address, mergeable=area.opted_in)
        sim.names.add_mapping(name, _free_name(sim, name, area.name), lambda at=at: at)  # type: ignore[misc]
        sim.machine.write(mm, at, contents[done : done + area.pages])
        addresses[done : done + area.pages] = at + np.arange(area.pages, dtype=np.int64) * page_size
        address, done = at + (area.pages + 1) * page_size, done + area.pages
    return addresses


def _start_in_place(sim: Simulation, family: Family) -> None:
    """Start the processes of a family each of whose pages has its place among those of all: KSM visits them in order."""
    machine, (first, *others) = sim.machine, family.processes
    sim.names.add_process(first.name, machine.spawn)
    parent = sim.names.process(first.name)
    every = [*family.areas, *(area for process in family.processes for area in process.areas)]
    machine.mmap(parent, family.span, 0, mergeable=any(area.opted_in for area in every))
    shared = family.places.astype(np.int64) * machine.page_size
    machine.write_at(parent, shared, family.contents)
    for process in others:
        sim.names.add_process(process.name, lambda: machine.fork(parent), like=first.name)
    for process in family.processes:
        mm = sim.names.process(process.name)
        maps = np.unpackbits(process.maps, count=len(shared)).astype(bool)
        machine.zap_at(mm, shared[~maps])
        machine.write_at(mm, process.places.astype(np.int64) * machine.page_size, process.contents)
        for areas, places in ((family.areas, family.places), (process.areas, process.places)):
            _place(sim, process.name, mm, areas, places.astype(np.int64))


def _place(sim: Simulation, name: str, mm: Mm, areas: Sequence[Area], places: I64Array) -> None:
    """Name areas that are mapped, and let those that have not opted in do without KSM."""
    done, page_size = 0, sim.machine.page_size
    for area in areas:
        at, last = int(places[done]), int(places[done + area.pages - 1])
        named = _free_name(sim, name, area.name)
        sim.names.add_mapping(name, named, lambda at=at: at * page_size)  # type: ignore[misc]
        if not area.opted_in:
            sim.machine.madvise(mm, at * page_size, last + 1 - at, "UNMERGEABLE")
        done += area.pages


def _free_name(sim: Simulation, process: str, mapping: str) -> str | None:
    """Return the name of a mapping; None if the process has one of that name already."""
    return None if (process, mapping) in sim.names.mappings else mapping


def hashed_bytes(policy: Policy, page_size: int) -> int:
    """Return the bytes that a policy's checksum reads of a page; all where nobody says."""
    name = policy.tunables.as_dict().get("checksum")
    read = describe(name, page_size)["bytes"] if isinstance(name, str) else None
    return int(page_size if read is None else read)
