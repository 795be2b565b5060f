"""What can happen in a simulation: each operation by name, with its fields, and how it is done.

A trace names these operations; workloads give them as Events. A function's parameters are the fields of its operation,
looked at once, when this module is loaded. Processes go by name. An address is in bytes, or the name that mmap gave a
mapping; `first` counts pages from there, `n` pages.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from pksm.arrays import Contents, U8Array
from pksm.errors import PksmError, UsageError
from pksm.hosts.machine.bytes import Patches
from pksm.hosts.machine.content import checked_ids

if TYPE_CHECKING:
    from pksm.hosts.machine.mm import Mm
    from pksm.simulation.simulation import Simulation


class Operation(NamedTuple):
    """How one operation is done.

    run: function(sim, **fields); fields: the names that it knows; required: those of them that it needs; takes_time:
    whether virtual time goes on meanwhile.
    """

    run: Callable[..., None]
    fields: tuple[str, ...]
    required: tuple[str, ...]
    takes_time: bool


OPERATIONS: dict[str, Operation] = {}

Content: TypeAlias = Contents | int | Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens.

    ms: not before this virtual millisecond (None: as soon as what comes before is done); op: of OPERATIONS; fields: its
    arguments by name; where: how an error names this event ("" for nothing).

    Raises UsageError for an operation that does not exist, or fields that are not its own.
    """

    ms: int | None
    op: str
    fields: dict[str, Any]
    where: str = ""

    def __post_init__(self) -> None:
        operation = OPERATIONS.get(self.op)
        if operation is None:
            raise self._wrong("op", f"unknown operation {self.op!r}: choose from {', '.join(OPERATIONS)}")
        for name in self.fields:
            if name not in operation.fields:
                known = ", ".join(operation.fields) or "none"
                raise self._wrong(name, f"{self.op} has no such field, but {known}")
        for name in operation.required:
            if name not in self.fields:
                raise self._wrong(name, f"missing, and {self.op} needs it")

    def _wrong(self, field: str, reason: str) -> UsageError:
        return UsageError(f"{_prefix(self.where)}field {field}: {reason}")


def perform(sim: Simulation, event: Event, hold: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
    """Do an event now; errors name it. hold: entered meanwhile, unless the event takes virtual time."""
    operation = OPERATIONS[event.op]
    try:
        with nullcontext() if operation.takes_time else hold():
            operation.run(sim, **event.fields)
    except PksmError as error:
        raise type(error)(f"{_prefix(event.where)}{event.op}: {error}") from None


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""


def _operation(function: Callable[..., None], takes_time: bool = False) -> Callable[..., None]:
    """Enter a function(sim, field, ...) in the table; a field without a default is required."""
    _, *parameters = inspect.signature(function).parameters.values()
    required = tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)
    fields = tuple(parameter.name for parameter in parameters)
    OPERATIONS[function.__name__] = Operation(function, fields, required, takes_time)
    return function


def _takes_time(function: Callable[..., None]) -> Callable[..., None]:
    return _operation(function, takes_time=True)


def _at(sim: Simulation, process: str, address: int | str, first: int) -> tuple[Mm, int]:
    """Return (mm, address in bytes)."""
    names = sim.names
    return names.process(process), names.address(process, address) + first * sim.machine.page_size


# ---- processes and address spaces ----


@_operation
def spawn(sim: Simulation, process: str, salt: int = 0) -> None:
    """Start an empty process under a name, of a salt (see the setting within of policies)."""
    sim.names.add_process(process, lambda: sim.machine.spawn(salt))


@_operation
def fork(sim: Simulation, process: str, child: str) -> None:
    """Fork a process; the child has all its mappings under the same names."""
    parent = sim.names.process(process)
    sim.names.add_process(child, lambda: sim.machine.fork(parent), like=process)


@_operation
def exit(sim: Simulation, process: str) -> None:
    """End a process; its memory is freed."""
    sim.machine.exit(sim.names.process(process))
    sim.names.drop_process(process)


@_operation
def mmap(
    sim: Simulation,
    process: str,
    n: int,
    address: int | None = None,
    name: str | None = None,
    writable: bool = True,
    mergeable: bool = False,
    stack: bool = False,
) -> None:
    """Map n pages of private anonymous memory, under a name if there is one."""
    mm = sim.names.process(process)
    if isinstance(address, str):
        raise UsageError(f"address {address!r}: must be a number; a mapping gets its name by the field name")
    kind = {"writable": writable, "mergeable": mergeable, "stack": stack}
    sim.names.add_mapping(process, name, lambda: sim.machine.mmap(mm, n, address, **kind))


@_operation
def munmap(sim: Simulation, process: str, address: int | str, n: int, first: int = 0) -> None:
    """Unmap pages."""
    sim.machine.munmap(*_at(sim, process, address, first), n)


@_operation
def mremap(
    sim: Simulation, process: str, address: str, n: int, first: int = 0, to: int | None = None, new_n: int | None = None
) -> None:
    """Move or resize a mapping, to the address `to` and to `new_n` pages."""
    at = sim.machine.mremap(*_at(sim, process, address, first), n, to, new_n)
    if not first:
        sim.names.move_mapping(process, address, at)


@_operation
def mprotect(sim: Simulation, process: str, address: int | str, n: int, writable: bool, first: int = 0) -> None:
    """Allow or forbid writing to pages."""
    sim.machine.mprotect(*_at(sim, process, address, first), n, writable)


@_operation
def madvise(sim: Simulation, process: str, address: int | str, n: int, advice: str, first: int = 0) -> None:
    """Advise on pages: DONTNEED, MERGEABLE or UNMERGEABLE."""
    sim.machine.madvise(*_at(sim, process, address, first), n, advice)


@_operation
def mlock(sim: Simulation, process: str, address: int | str, n: int, first: int = 0) -> None:
    """Lock pages into memory."""
    sim.machine.mlock(*_at(sim, process, address, first), n)


@_operation
def munlock(sim: Simulation, process: str, address: str, n: int, first: int = 0) -> None:
    """Undo mlock."""
    sim.machine.munlock(*_at(sim, process, address, first), n)


# ---- memory ----


@_operation
def write(
    sim: Simulation,
    process: str,
    address: int | str,
    content: Content | Callable[[U8Array], object],
    n: int | None = None,
    first: int = 0,
    patches: Patches = (),
) -> None:
    """Write whole pages: content as contents_of takes it, then patches as the operation `patch` takes them.

    content may also be a function, of n pages: content(out) writes every byte of out, uint8 (n, page_size).
    """
    mm, at = _at(sim, process, address, first)
    if n is not None:
        sim.machine.require_writable(mm, at, n)  # before there are contents of so many pages
    if not callable(content):
        sim.machine.write(mm, at, contents_of(content, n), patches)
        return
    if n is None:
        raise UsageError("content that a function makes needs n, the number of pages")
    sim.machine.fill(mm, at, n, content)
    sim.machine.patch(mm, at, patches)


def contents_of(content: Content, n: int | None = None) -> Contents:
    """Return what Machine.write takes.

    content: a content id for n pages; {"base": b, "mod": m}: ids b + k % m for page k of n; ids, one per page; or bytes,
    or an array of pages.
    """
    if isinstance(content, Mapping):
        if n is None:
            raise UsageError("content by base and mod needs n, the number of pages")
        base, mod = checked_ids([content["base"], content["mod"]])
        return base + np.arange(n, dtype=np.uint64) % mod
    if isinstance(content, int):
        return np.full(1 if n is None else n, checked_ids([content])[0])
    contents = checked_ids(content) if isinstance(content, (list, tuple)) else content
    if n is not None and isinstance(contents, np.ndarray) and len(contents) != n:
        raise UsageError(f"{len(contents)} contents for {n} pages")
    return contents


@_operation
def patch(sim: Simulation, process: str, address: int | str, patches: list[list[int]], first: int = 0) -> None:
    """Write single 32-bit words: rows of [page, word, value]."""
    sim.machine.patch(*_at(sim, process, address, first), patches)


@_operation
def touch(sim: Simulation, process: str, address: int | str, n: int = 1, first: int = 0, writing: bool = False) -> None:
    """Read or write pages without a look at their bytes."""
    sim.machine.touch(*_at(sim, process, address, first), n, writing)


@_operation
def read(
    sim: Simulation,
    label: str | None = None,
    process: str | None = None,
    address: str | None = None,
    n: int = 1,
    first: int = 0,
) -> None:
    """With a label: record all counters. With a process and an address: read its memory."""
    if label is not None and process is None and address is None:
        sim.read(label)
    elif label is None and process is not None and address is not None:
        touch(sim, process, address, n, first)
    else:
        raise UsageError("give a label, to record all counters, or a process and an address, to read memory")


# ---- frames ----


@_operation
def drain(sim: Simulation) -> None:
    """Move pages that wait in a pagevec on to the LRU lists."""
    sim.machine.drain()


@_operation
def lock_page(sim: Simulation, process: str, address: str, name: str, n: int = 1, first: int = 0) -> None:
    """Hold the locks of pages, under a name."""
    sim.names.hold(name, lambda: sim.machine.lock_page(*_at(sim, process, address, first), n))


@_operation
def unlock_page(sim: Simulation, name: str) -> None:
    """Give up the locks of that name."""
    sim.machine.unlock_page(sim.names.release(name))


@_operation
def pin(sim: Simulation, process: str, address: str, name: str, n: int = 1, first: int = 0) -> None:
    """Take a reference on pages, under a name."""
    sim.names.hold(name, lambda: sim.machine.pin(*_at(sim, process, address, first), n))


@_operation
def unpin(sim: Simulation, name: str) -> None:
    """Drop the references of that name."""
    sim.machine.unpin(sim.names.release(name))


@_operation
def swap_out(sim: Simulation, process: str, address: str, n: int, first: int = 0) -> None:
    """Write pages to swap and free their frames."""
    sim.machine.swap_out(*_at(sim, process, address, first), n)


@_operation
def swap_in(sim: Simulation, process: str, address: str, n: int, first: int = 0) -> None:
    """Bring pages back from swap."""
    sim.machine.swap_in(*_at(sim, process, address, first), n)


@_operation
def migrate(sim: Simulation, process: str, address: str, n: int, first: int = 0) -> None:
    """Move pages to other frames."""
    sim.machine.migrate(*_at(sim, process, address, first), n)


@_operation
def thp_fault(sim: Simulation, process: str, address: str, first: int = 0) -> None:
    """Fault in a transparent huge page."""
    sim.machine.thp_fault(*_at(sim, process, address, first))


@_operation
def thp_split(sim: Simulation, process: str, address: str, n: int = 1, first: int = 0) -> None:
    """Split the huge pages that n pages lie in."""
    sim.machine.thp_split(*_at(sim, process, address, first), n)


# ---- time and the policy ----


@_takes_time
def wait(sim: Simulation, ms: int) -> None:
    """Let virtual milliseconds pass."""
    sim.run(sim.now + ms)


@_takes_time
def until_rest(sim: Simulation, quiet_ms: int = 2500, limit_ms: int = 3_600_000) -> None:
    """Let time pass until no counter has changed for quiet_ms."""
    if not sim.run_until_rest(quiet_ms, limit_ms):
        raise PksmError(f"not settled after {limit_ms} ms: some counter still changes (see limit_ms)")


@_operation
def set(sim: Simulation, name: str, value: int) -> None:
    """Set a tunable of the policy, by its sysfs name."""
    sim.set(name, value)
