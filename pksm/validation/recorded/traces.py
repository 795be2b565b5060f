"""Replays of random traces that real PKSM kernels executed, round by round, beside what they counted.

A file holds a trace a line: rounds of operations of processes by number, in regions by number, with the six counters
and the frames in use before pksmd runs and after. What the operations mean, and how a round goes, was decided when they
were recorded: pksmd is stopped during the operations, then wakes at once and so often as the recording says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pksm.engine.checksums import strategies
from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.policies.pksmd.daemon import Pksmd
from pksm.simulation.operations import Event
from pksm.simulation.simulation import Simulation
from pksm.simulation.trace import Opener, open_binary, read_lines
from pksm.simulation.workloads.recorded import INIT_CONTENT
from pksm.validation.recorded.fields import check_fields
from pksm.validation.recorded.workloads import COUNTERS, preset_of

if TYPE_CHECKING:
    from pksm.policies.pksmd.tunables import Tunables


PAGE_SIZE = 4096
REGION, REGION_BYTES = 0x500000000000, 0x10000000
BOOT_WAKES = 8
PAUSE_MS = 30  # of a round's end, beside the sleep of pksmd


class Row(NamedTuple):
    """One number of a kernel at one reading of a trace, and ours. when: before_scan or read."""

    kernel: str
    id: str
    round: int
    when: str
    counter: str
    kernel_value: int
    ours: int


def read_traces(path: str, opener: Opener = open_binary) -> list[dict[str, Any]]:
    """Return the traces of a file of JSON lines, as dicts. PksmError that names the line of whatever is wrong."""
    traces = []
    for number, line in enumerate(read_lines(path, opener), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                trace = json.loads(line)
            except (ValueError, RecursionError):
                raise PksmError(f"{where}: not JSON") from None
            _check(trace, where)
            traces.append(trace | {"where": where})
    if not traces:
        raise PksmError(f"{path}: no trace in it")
    return traces


_FIELDS = {"kernel": str, "id": str, "tunables": dict, "sampled_words": list, "baseline_raw": dict, "rounds": list}
_ROUND = {"ops": list, "before_scan": dict, "frames_before": int, "read": dict, "frames_total": int, "wakeups_est": int}


def _check(
    trace: Any,
    where: str,
) -> None:
    """Raise PksmError unless a trace has the fields that a replay reads."""
    check_fields(trace, _FIELDS, where)
    check_fields(trace["baseline_raw"], {"pages_unshared": int}, f"{where}: baseline_raw")
    for number, round in enumerate(trace["rounds"]):
        at = f"{where}: round {number}"
        check_fields(round, _ROUND, at)
        if round["wakeups_est"] < 1:
            raise PksmError(f"{at}: wakeups_est {round['wakeups_est']}: must be at least 1")
        for when in ("before_scan", "read"):
            check_fields(round[when], dict.fromkeys(COUNTERS, int), f"{at}: {when}")


# ---- operations ----


def events_of(op: Sequence[Any]) -> Iterator[Event]:
    """Yield the Events of one recorded operation. UsageError if there is no such operation."""
    name, process, *rest = op
    if name not in _OPERATIONS:
        raise UsageError(f"unknown operation {name!r}: choose from {', '.join(_OPERATIONS)}")
    for done, fields in _OPERATIONS[name](*rest):
        yield Event(None, done, {"process": f"p{process}"} | fields)


def _at(region: int, first: int) -> dict[str, int]:
    return {"address": REGION + region * REGION_BYTES, "first": first}


def _mmap(region: int, n: int) -> Iterator[tuple[str, dict[str, int]]]:
    yield "mmap", {"address": REGION + region * REGION_BYTES, "n": n}


def _fill(region: int, first: int, n: int, what: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    content = what["list"] if "list" in what else {"base": what["base"], "mod": what["mod"]}
    yield "write", _at(region, first) | {"content": content, "n": n}


def _zero(region: int, first: int, n: int) -> Iterator[tuple[str, dict[str, int]]]:
    yield "write", _at(region, first) | {"content": 0, "n": n}


def _patch(region: int, page: int, word: int, value: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "patch", _at(region, page) | {"patches": [[0, word, value]]}


def _fork(child: int) -> Iterator[tuple[str, dict[str, str]]]:
    yield "fork", {"child": f"p{child}"}


def _exit() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "exit", {}


def _protect(region: int, first: int, n: int, how: str) -> Iterator[tuple[str, dict[str, int]]]:
    yield "mprotect", _at(region, first) | {"n": n, "writable": how == "rw"}


def _on_range(op: str, **more: str) -> Callable[[int, int, int], Iterator[tuple[str, dict[str, Any]]]]:
    def events(region: int, first: int, n: int) -> Iterator[tuple[str, dict[str, Any]]]:
        yield op, _at(region, first) | {"n": n} | more

    return events


_OPERATIONS: dict[str, Callable[..., Iterator[tuple[str, dict[str, Any]]]]] = {
    "mmap": _mmap,
    "fill": _fill,
    "zero": _zero,
    "patch": _patch,
    "read": _on_range("touch"),
    "fork": _fork,
    "exit": _exit,
    "munmap": _on_range("munmap"),
    "dontneed": _on_range("madvise", advice="DONTNEED"),
    "mprotect": _protect,
    "mlock": _on_range("mlock"),
}


# ---- replays ----


class Replay:
    """The machine of one trace, after boot. preset: Tunables, None for those of the trace's kernel."""

    def __init__(
        self,
        trace: dict[str, Any],
        preset: Tunables | None = None,
    ) -> None:
        chosen = (preset or preset_of(trace["kernel"])).with_(**trace["tunables"])
        self.machine = Machine(_frames(trace), PAGE_SIZE, pagevec=True)
        checksum = strategies.sampled_at(trace["sampled_words"]) if chosen.checksum == "sampled" else None
        self.sim = Simulation(self.machine, Pksmd(self.machine, chosen, checksum=checksum))
        self._boot(trace["baseline_raw"]["pages_unshared"])
        self.wake(BOOT_WAKES)
        self._base = self._counters()

    def _boot(self, n: int) -> None:
        """The pages of init: they are unshared, and one of a stack is zero where the checksum looks."""
        self.sim.play([Event(None, "spawn", {"process": "init"})])
        init = self.sim.process("init")
        if n:
            self.machine.write(init, self.machine.mmap(init, 1, stack=True), [0])
        if n > 1:
            own = self.machine.mmap(init, n - 1)
            self.machine.write(init, own, np.arange(INIT_CONTENT, INIT_CONTENT + n - 1))

    def do(self, op: list[Any]) -> None:
        """Do one operation as recorded."""
        process = f"p{op[1]}"
        if process not in self.sim.processes:
            self.sim.play([Event(None, "spawn", {"process": process})])
        self.sim.play(events_of(op))

    def wake(self, times: int) -> None:
        """Let pksmd wake so many times, and stop it again."""
        self.sim.set("run", 1)
        self.sim.run(self.sim.now + max(1, self.sim.policy.next_wake() or 0) * (times - 1) + 1)
        self.sim.set("run", 0)
        self.sim.run(self.sim.now + self.sim.policy.sysfs["sleep_millisecs"] + PAUSE_MS)

    def _counters(self) -> dict[str, int]:
        counters = self.sim.counters()
        mapped = np.count_nonzero(self.machine.frames.mapcount)
        return {name: counters[name] for name in COUNTERS} | {"frames": int(mapped)}

    def net(self) -> dict[str, int]:
        """Return the counters and the frames in use, less those after boot."""
        return {name: value - self._base[name] for name, value in self._counters().items()}


def _frames(
    trace: dict[str, Any],
) -> int:
    """How many frames the trace can have in use at most."""
    mapped: dict[str, int] = {}
    total: int = trace["baseline_raw"]["pages_unshared"]
    for round in trace["rounds"]:
        for name, process, *rest in round["ops"]:
            new = rest[1] if name == "mmap" else mapped.get(process, 0) if name == "fork" else 0
            child = rest[0] if name == "fork" else process
            mapped[child] = mapped.get(child, 0) + new
            total += new
    return max(64, 2 * total)


def replay(
    trace: dict[str, Any],
    preset: Tunables | None = None,
) -> list[Row]:
    """Return the Rows of one trace.

    preset: Tunables in place of its kernel's. PksmError for an operation that can't be.
    """
    rows, number = [], 0
    try:
        run = Replay(trace, preset)
        for number, round in enumerate(trace["rounds"]):
            for op in round["ops"]:
                run.do(op)
            run.machine.drain()
            rows += _rows(trace, number, "before_scan", round["before_scan"], round["frames_before"], run.net())
            run.wake(round["wakeups_est"])
            rows += _rows(trace, number, "read", round["read"], round["frames_total"], run.net())
    except PksmError as error:
        raise type(error)(f"{trace['where']}: round {number}: {error}") from None
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise PksmError(f"{trace['where']}: round {number}: an operation of the wrong form ({error})") from None
    return rows


def _rows(
    trace: dict[str, Any],
    number: int,
    when: str,
    counted: dict[str, int],
    frames: int,
    ours: dict[str, int],
) -> list[Row]:
    values = {name: counted[name] for name in COUNTERS} | {"frames": frames}
    return [Row(trace["kernel"], trace["id"], number, when, name, value, ours[name]) for name, value in values.items()]


def agreement(rows: list[Row]) -> dict[str, tuple[int, int]]:
    """Return {kernel: (readings that agree in every counter, all readings)}."""
    readings: dict[tuple[str, str, int, str], bool] = {}
    for row in rows:
        key = row.kernel, row.id, row.round, row.when
        readings[key] = readings.get(key, True) and row.kernel_value == row.ours
    return {
        kernel: (
            sum(good for key, good in readings.items() if key[0] == kernel),
            sum(key[0] == kernel for key in readings),
        )
        for kernel in dict.fromkeys(key[0] for key in readings)
    }
