"""The running kernel's own ksmd as a job, and what stands beside it: our ksmd, and pksmd on the simulated machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pksm.bench.engine_jobs import settings
from pksm.bench.yardsticks import Ground, Job, WrongAnswer
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.linux import ksm as live
from pksm.linux.ksm import files
from pksm.linux.proc import tasks
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.pksmd.daemon import Pksmd
from pksm.validation.kernel.live_process import LiveProcess

if TYPE_CHECKING:
    from pksm.simulation.workloads.loads import Load

BASE = 0x100000000000
KERNEL, OURS, PKSM = "kernel's ksmd", "ksmd, machine", "pksmd, machine"
SCANS = ("first scan", "merging scan")
MACHINE_BYTES_A_PAGE = 256
_TWO_SCANS = ksm_tunables.preset("ksm-6.11").with_(pages_to_scan=1 << 30, smart_scan=0, max_page_sharing=0)
NOT_ALIKE = (
    "The kernel's ksmd also walks page tables, flushes and remaps ptes; ours moves ptes of a simulated machine; pksmd "
    "learns of pages at birth, sums each once and needs one visit where KSM needs two scans; the twin does neither "
    "sums nor ptes."
)


class KernelJobs:
    """The running kernel's ksmd while it is borrowed: a context manager that gives jobs.

    Attributes:
        warnings: lines about what an earlier run had left behind.
        cpu_s: what ksmd has worked so far, in seconds.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._processes: list[LiveProcess] = []

    def __enter__(self) -> Self:
        with self._stack as stack:
            self._ksm = stack.enter_context(live.Borrowed())
            self._thread = files.thread()
            stack.callback(self._end)
            self._began = tasks.cpu_seconds(self._thread)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, traceback)

    @property
    def warnings(self) -> list[str]:
        return self._ksm.warnings

    @property
    def cpu_s(self) -> float:
        return self._clock() - self._began

    def _clock(self) -> float:
        return tasks.cpu_seconds(self._thread)

    def _end(self) -> None:
        """End the process that holds the load, and leave ksmd without anything merged."""
        while self._processes:
            self._processes.pop().exit()
        self._ksm.reset()

    def job(self, ground: Ground) -> Job:
        """Return the job of the kernel's ksmd: two scans of a process that holds the load. Its CPU time is ksmd's."""

        def prepare() -> None:
            self._ksm.reset(smart_scan=0, max_page_sharing=1 << 30)
            self._processes.append(LiveProcess())
            self._processes[0].mmap(BASE, len(ground.bytes))
            self._processes[0].write(BASE, ground.bytes)

        def work(_: None) -> dict[str, tuple[float, float]]:
            seconds = {}
            for scan in SCANS:
                wall, cpu = time.perf_counter(), self._clock()
                self._ksm.scan()
                seconds[scan] = (time.perf_counter() - wall, self._clock() - cpu)
            return seconds

        def check(_: dict[str, tuple[float, float]]) -> int:
            merged = self._ksm.counters()["pages_sharing"]
            self._end()
            _check(ground.load, KERNEL, merged)
            return merged

        return Job(
            engine=KERNEL,
            load=ground.load.name,
            pages=len(ground.bytes),
            prepare=prepare,
            work=work,
            check=check,
            order="content",
            steps=lambda seconds: seconds,
            clock=self._clock,
        )


def _check(load: Load, engine: str, merged: int) -> None:
    truth = load.expected()
    expected = truth["pages"] - truth["distinct"]
    if merged != expected:
        raise WrongAnswer(f"load {load.name}: {engine} should have merged {expected} pages, merged {merged}")


def _machine_job(
    ground: Ground,
    engine: str,
    start: Callable[[Machine], Any],
    work: Callable[[Any], None],
    merged: Callable[[Machine], int],
) -> Job:
    """Return the job of a policy on the machine with the load in one process; the machine is filled before."""

    def prepare() -> tuple[Machine, Any]:
        gc.collect()
        simulated = Machine(len(ground.bytes) + 64, ground.store.page_size)
        policy = start(simulated)
        mm = simulated.spawn()
        address = simulated.mmap(mm, len(ground.bytes), mergeable=True)
        simulated.write(mm, address, ground.bytes)
        return simulated, policy

    def run(prepared: tuple[Machine, Any]) -> tuple[Machine, Any]:
        work(prepared[1])
        return prepared

    def check(worked: tuple[Machine, Any]) -> int:
        _check(ground.load, engine, merged(worked[0]))
        return merged(worked[0])

    return Job(engine, ground.load.name, len(ground.bytes), prepare, run, check)


def ksmd_job(ground: Ground) -> Job:
    """Return the job of our ksmd on the machine: two full scans, as the kernel's."""

    def scans(ksmd: Ksmd) -> None:
        ksmd.wake()
        ksmd.wake()

    return _machine_job(
        ground, OURS, lambda simulated: Ksmd(simulated, _TWO_SCANS), scans, lambda simulated: simulated.pages_sharing
    )


def ksmd_flat_job(ground: Ground) -> Job:
    """Return the job of our ksmd over pages that are mapped once each: two full scans, which are its steps."""

    def prepare() -> tuple[FlatHost, Ksmd, dict[str, tuple[float, float]]]:
        gc.collect()
        host = FlatHost(ground.store, static=True)
        ksmd = Ksmd(host, _TWO_SCANS)
        host.add(ground.pages)
        return host, ksmd, {}

    def work(
        prepared: tuple[FlatHost, Ksmd, dict[str, tuple[float, float]]],
    ) -> tuple[FlatHost, Ksmd, dict[str, tuple[float, float]]]:
        for scan in SCANS:
            wall, cpu = time.perf_counter(), time.process_time()
            prepared[1].wake()
            prepared[2][scan] = (time.perf_counter() - wall, time.process_time() - cpu)
        return prepared

    def check(worked: tuple[FlatHost, Ksmd, dict[str, tuple[float, float]]]) -> int:
        _check(ground.load, "ksmd", worked[0].pages_sharing)
        return worked[0].pages_sharing

    return Job(
        "ksmd", ground.load.name, len(ground.pages), prepare, work, check, "content", steps=lambda worked: worked[2]
    )


def pksmd_on_machine_job(ground: Ground, batch: int) -> Job:
    """Return the job of pksmd on the machine, from pages that wait on the new list until it is at rest."""

    def rest(pksmd: Pksmd) -> None:
        while not pksmd.at_rest:
            pksmd.wake()

    def merged(simulated: Machine) -> int:
        return simulated.pages_sharing + max(0, simulated.pages_zero_sharing - 1)

    return _machine_job(ground, PKSM, lambda simulated: Pksmd(simulated, settings(batch=batch)), rest, merged)


def jobs_beside(ground: Ground, kernel: KernelJobs, batch: int) -> list[Job]:
    """Return the jobs of the kernel's ksmd, of ours on pages and on the machine, and of pksmd on the machine."""
    return [kernel.job(ground), ksmd_flat_job(ground), ksmd_job(ground), pksmd_on_machine_job(ground, batch)]


def needed_bytes(n_pages: int, page_size: int) -> int:
    """Return the bytes that these jobs take besides a Ground: a process with the load, or a simulated machine."""
    return n_pages * (2 * page_size + MACHINE_BYTES_A_PAGE)
