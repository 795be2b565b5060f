"""What can happen in a simulation: each operation by name, with its fields, and how it is done.

A trace names these operations; workloads give them as Events. Processes go by name. An address is in bytes, or the name
that mmap gave a mapping; `first` counts pages from there, `n` pages.
"""

import inspect
from typing import NamedTuple

import numpy as np

from pksm.errors import PksmError, UsageError

OPERATIONS = {}  # name -> function(sim, **fields)


class Event(NamedTuple):
    """One thing that happens.

    ms: not before this virtual millisecond (None: as soon as what comes before is done); op: of OPERATIONS; fields: its
    arguments by name; where: how an error names this event ("" for nothing).
    """

    ms: int | None
    op: str
    fields: dict
    where: str = ""


def perform(sim, event):
    """Do an event now. UsageError for an operation or a field that there is not; other errors name the event."""
    check_fields(event.op, event.fields, event.where)
    try:
        OPERATIONS[event.op](sim, **event.fields)
    except PksmError as error:
        raise type(error)(f"{_prefix(event.where)}{event.op}: {error}") from None


def check_fields(op, fields, where=""):
    """Raise UsageError unless the operation exists and has exactly such fields."""
    if op not in OPERATIONS:
        raise UsageError(f"{_prefix(where)}field op: unknown operation {op!r}: choose from {', '.join(OPERATIONS)}")
    parameters = list(inspect.signature(OPERATIONS[op]).parameters.values())[1:]
    known = [parameter.name for parameter in parameters]
    for name in fields:
        if name not in known:
            raise UsageError(f"{_prefix(where)}field {name}: {op} has no such field, but {', '.join(known) or 'none'}")
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in fields:
            raise UsageError(f"{_prefix(where)}field {parameter.name}: missing, and {op} needs it")


def _prefix(where):
    return f"{where}: " if where else ""


def _operation(function):
    OPERATIONS[function.__name__] = function
    return function


def _at(sim, process, address, first):
    """Return (mm, address in bytes)."""
    return sim.process(process), sim.address(process, address) + first * sim.machine.page_size


# ---- processes and address spaces ----


@_operation
def spawn(sim, process):
    sim.add_process(process, sim.machine.spawn)


@_operation
def fork(sim, process, child):
    parent = sim.process(process)
    sim.add_process(child, lambda: sim.machine.fork(parent), like=process)


@_operation
def exit(sim, process):
    sim.machine.exit(sim.process(process))
    sim.drop_process(process)


@_operation
def mmap(sim, process, n, address=None, name=None, writable=True, mergeable=False, stack=False):
    mm = sim.process(process)
    if name is not None and (process, name) in sim.mappings:
        raise UsageError(f"process {process!r} has a mapping {name!r} already")
    if isinstance(address, str):
        raise UsageError(f"address {address!r}: must be a number; a mapping gets its name by the field name")
    at = sim.machine.mmap(mm, n, address, writable=writable, mergeable=mergeable, stack=stack)
    if name is not None:
        sim.mappings[process, name] = at


@_operation
def munmap(sim, process, address, n, first=0):
    sim.machine.munmap(*_at(sim, process, address, first), n)


@_operation
def mremap(sim, process, address, n, first=0, to=None, new_n=None):
    at = sim.machine.mremap(*_at(sim, process, address, first), n, to, new_n)
    if not first and (process, address) in sim.mappings:
        sim.mappings[process, address] = at


@_operation
def mprotect(sim, process, address, n, writable, first=0):
    sim.machine.mprotect(*_at(sim, process, address, first), n, writable)


@_operation
def madvise(sim, process, address, n, advice, first=0):
    sim.machine.madvise(*_at(sim, process, address, first), n, advice)


@_operation
def mlock(sim, process, address, n, first=0):
    sim.machine.mlock(*_at(sim, process, address, first), n)


@_operation
def munlock(sim, process, address, n, first=0):
    sim.machine.munlock(*_at(sim, process, address, first), n)


# ---- memory ----


@_operation
def write(sim, process, address, content, n=None, first=0, patches=()):
    """content: what contents_of takes; patches: rows (page from first, 32-bit word, value) written on top."""
    mm, at = _at(sim, process, address, first)
    if n is not None:
        sim.machine.require_writable(mm, at, n)  # before there are contents of so many pages
    sim.machine.write(mm, at, contents_of(content, n), patches)


def contents_of(content, n=None):
    """Return what Machine.write takes.

    content: a content id for n pages; {"base": b, "mod": m}: ids b + k % m for page k of n; ids, one a page; or bytes,
    or an array of pages.
    """
    if isinstance(content, dict):
        if n is None:
            raise UsageError("content by base and mod needs n, the number of pages")
        return content["base"] + np.arange(n, dtype=np.int64) % content["mod"]
    if isinstance(content, int):
        return np.full(1 if n is None else n, content, np.int64)
    contents = np.asarray(content) if isinstance(content, (list, tuple)) else content
    if n is not None and isinstance(contents, np.ndarray) and len(contents) != n:
        raise UsageError(f"{len(contents)} contents for {n} pages")
    return contents


@_operation
def patch(sim, process, address, patches, first=0):
    sim.machine.patch(*_at(sim, process, address, first), patches)


@_operation
def touch(sim, process, address, n=1, first=0, writing=False):
    """Read or write pages without a look at their bytes."""
    sim.machine.touch(*_at(sim, process, address, first), n, writing)


@_operation
def read(sim, label=None, process=None, address=None, n=1, first=0):
    """With a label: record all counters. With a process and an address: read its memory."""
    if label is not None and process is None and address is None:
        sim.read(label)
    elif label is None and process is not None and address is not None:
        touch(sim, process, address, n, first)
    else:
        raise UsageError("give a label, to record all counters, or a process and an address, to read memory")


# ---- frames ----


@_operation
def drain(sim):
    """Let go of pages that wait on their way to the LRU lists."""
    sim.machine.drain()


@_operation
def lock_page(sim, process, address, name, n=1, first=0):
    sim.hold(name, lambda: sim.machine.lock_page(*_at(sim, process, address, first), n))


@_operation
def unlock_page(sim, name):
    sim.machine.unlock_page(sim.release(name))


@_operation
def pin(sim, process, address, name, n=1, first=0):
    sim.hold(name, lambda: sim.machine.pin(*_at(sim, process, address, first), n))


@_operation
def unpin(sim, name):
    sim.machine.unpin(sim.release(name))


@_operation
def swap_out(sim, process, address, n, first=0):
    sim.machine.swap_out(*_at(sim, process, address, first), n)


@_operation
def swap_in(sim, process, address, n, first=0):
    sim.machine.swap_in(*_at(sim, process, address, first), n)


@_operation
def migrate(sim, process, address, n, first=0):
    sim.machine.migrate(*_at(sim, process, address, first), n)


@_operation
def thp_fault(sim, process, address, first=0):
    sim.machine.thp_fault(*_at(sim, process, address, first))


@_operation
def thp_split(sim, process, address, n=1, first=0):
    sim.machine.thp_split(*_at(sim, process, address, first), n)


# ---- time and the policy ----


@_operation
def wait(sim, ms):
    """Let virtual milliseconds pass."""
    sim.run(sim.now + ms)


@_operation
def until_rest(sim, quiet_ms=2500, limit_ms=3_600_000):
    """Let time pass until no counter has changed for quiet_ms."""
    if not sim.run_until_rest(quiet_ms, limit_ms):
        raise PksmError(f"not settled after {limit_ms} ms: some counter still changes (see limit_ms)")


@_operation
def set(sim, name, value):
    """Set a tunable of the policy, by its sysfs name."""
    sim.set(name, value)
