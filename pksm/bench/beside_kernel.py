"""pksm bench --against kernel: the kernel's own ksmd and ours, KSM's twin and pksmd, on the same bytes in one run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

import pksm
from pksm.bench.engine_jobs import pksmd_job, settings
from pksm.bench.measuring import measure
from pksm.bench.run import SCHEMA, machine
from pksm.bench.yardsticks import Ground, Job, WrongAnswer, ksm_job
from pksm.documents import BenchDocument, BenchRow
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.linux import checkout, system
from pksm.linux import ksm as live
from pksm.linux.ksm import files
from pksm.linux.proc import tasks
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.pksmd.daemon import Pksmd
from pksm.simulation.workloads import LOADS
from pksm.validation.kernel.live_process import LiveProcess

if TYPE_CHECKING:
    from pksm.simulation.workloads.loads import Load

BASE = 0x100000000000
KERNEL, OURS, PKSM = "kernel's ksmd", "ksmd, machine", "pksmd, machine"
_TWO_SCANS = ksm_tunables.preset("ksm-6.11").with_(pages_to_scan=1 << 30, smart_scan=0, max_page_sharing=0)
NOT_ALIKE = (
    "The kernel's ksmd also walks page tables, flushes and remaps ptes; ours moves ptes of a simulated machine; pksmd "
    "learns of pages at birth, sums each once and needs one visit where KSM needs two scans; the twin does neither "
    "sums nor ptes."
)


def _kernel(ksm: live.Borrowed, ground: Ground) -> tuple[list[tuple[float, float]], int]:
    """Let the kernel's ksmd scan a process with the load twice. Returns ([(wall, CPU) of each scan], pages merged)."""
    ksm.reset(smart_scan=0, max_page_sharing=1 << 30)
    process, thread, seconds = LiveProcess(), files.thread(), []
    try:
        process.mmap(BASE, len(ground.bytes))
        process.write(BASE, ground.bytes)
        for _ in range(2):
            wall, cpu = time.perf_counter(), tasks.cpu_seconds(thread)
            ksm.scan()
            seconds.append((time.perf_counter() - wall, tasks.cpu_seconds(thread) - cpu))
        merged = ksm.counters()["pages_sharing"]
    finally:
        process.exit()
        ksm.reset()
    _check(ground.load, KERNEL, merged)
    return seconds, merged


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
    """Return the job of our ksmd over pages that are mapped once each."""

    def prepare() -> tuple[FlatHost, Ksmd]:
        gc.collect()
        host = FlatHost(ground.store, static=True)
        ksmd = Ksmd(host, _TWO_SCANS)
        host.add(ground.pages)
        return host, ksmd

    def work(prepared: tuple[FlatHost, Ksmd]) -> tuple[FlatHost, Ksmd]:
        prepared[1].wake()
        prepared[1].wake()
        return prepared

    def check(worked: tuple[FlatHost, Ksmd]) -> int:
        _check(ground.load, "ksmd", worked[0].pages_sharing)
        return worked[0].pages_sharing

    return Job("ksmd", ground.load.name, len(ground.pages), prepare, work, check)


def pksmd_on_machine_job(ground: Ground, batch: int) -> Job:
    """Return the job of pksmd on the machine, from pages that wait on the new list until it is at rest."""

    def rest(pksmd: Pksmd) -> None:
        while not pksmd.at_rest:
            pksmd.wake()

    def merged(simulated: Machine) -> int:
        return simulated.pages_sharing + max(0, simulated.pages_zero_sharing - 1)

    return _machine_job(ground, PKSM, lambda simulated: Pksmd(simulated, settings(batch=batch)), rest, merged)


def run(
    loads: Sequence[str] = tuple(LOADS),
    n_pages: int = 65536,
    batch: int = 65536,
    repeats: int = 3,
    seed: int = 0,
    progress: Callable[[str, str], object] = lambda load, engine: None,
) -> BenchDocument:
    """Measure on every load and return the document pksm.bench/1, with `against`: what is not like for like.

    UnsupportedError where the kernel's ksmd can't be borrowed.
    """
    unknown = [load for load in loads if load not in LOADS]
    if unknown or not loads or repeats < 1:
        raise UsageError(f"loads {', '.join(loads)}, {repeats} repeats: choose from {', '.join(LOADS)}, and 1 or more")
    where = machine()
    rows: list[BenchRow] = []
    with live.Borrowed() as ksm, system.pinned():
        ground = Ground(n_pages)
        for load in loads:
            progress(load, "filling memory")
            ground.fill(load, seed)
            rounds = []
            for _ in range(repeats):
                progress(load, KERNEL)
                rounds.append(_kernel(ksm, ground))
            rows += _kernel_rows(ground, rounds)
            jobs = [ksm_job(ground), ksmd_flat_job(ground), ksmd_job(ground), pksmd_job(ground, settings(batch=batch))]
            jobs.append(pksmd_on_machine_job(ground, batch))
            measured = measure(jobs, repeats, lambda job: progress(job.load, job.engine))
            rows += [row for row in measured if ": " not in row["engine"]]
    return {
        "schema": SCHEMA,
        "against": NOT_ALIKE,
        "warnings": ksm.warnings,
        "pksm": pksm.__version__,
        "commit": checkout.commit(),
        "machine": where,
        "loads": {load: LOADS[load] for load in loads},
        "page_size": ground.store.page_size,
        "repeats": repeats,
        "seed": seed,
        "rows": rows,
    }


def _kernel_rows(ground: Ground, rounds: Sequence[tuple[list[tuple[float, float]], int]]) -> list[BenchRow]:
    """Rows of the kernel's first and merging scan, and of both: medians."""
    samples = np.array([seconds for seconds, _ in rounds])  # round, scan, (wall, CPU)
    scans = {"first scan": samples[:, 0], "merging scan": samples[:, 1], None: samples.sum(axis=1)}
    merges, pages = rounds[0][1], len(ground.bytes)
    rows: list[BenchRow] = []
    for scan, seconds in scans.items():
        wall_s, cpu_s = median(seconds[:, 0].tolist()), median(seconds[:, 1].tolist())
        rows.append(
            {
                "load": ground.load.name,
                "pages": pages,
                "engine": f"{KERNEL}: {scan}" if scan else KERNEL,
                "order": "content",
                "batch": None,
                "threads": 1,
                "wall_s": wall_s,
                "cpu_s": cpu_s,
                "pages_per_cpu_s": pages / cpu_s,
                "merges_per_cpu_s": None if scan == "first scan" else merges / cpu_s,
                "ns_per_page": 1e9 * cpu_s / pages,
            }
        )
    return rows
