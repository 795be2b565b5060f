"""Measures the engine and its yardsticks on the same bytes, in the same minutes, with every answer checked.

One process on one CPU (but for more threads), memory touched before the clock starts. CPU time stands beside wall
time: on a machine that others use too, only the first says what the work costs. Jobs take turns, so that a busy
minute falls on all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final, TypeVar, cast

import numpy as np

import pksm
from pksm.bench import statistics
from pksm.bench.engine_jobs import BATCH, PERIOD_SECONDS, pksmd_job, policy_choice, policy_job, settings, settle_job
from pksm.bench.measuring import measure
from pksm.bench.yardsticks import Ground, check_pages, checksum_job, ksm_job, limits, needed_bytes, table_job
from pksm.documents import BenchDocument, BenchRow, Interference, MachineFacts
from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.errors import UsageError
from pksm.linux import checkout, cpu_times, memory_limits, system
from pksm.naming import unknown
from pksm.simulation.workloads import LOADS

if TYPE_CHECKING:
    from pksm.bench.beside_kernel import KernelJobs
    from pksm.bench.of_file import FileLoad
    from pksm.bench.yardsticks import Job
    from pksm.policies.pksmd.tunables import Tunables
    from pksm.policies.registry import Choice
    from pksm.sources import Sandbox


SCHEMA: Final = "pksm.bench/1"
ENGINE = "pksmd"  # the policy whose orders, checksums and threads can be chosen
CURVE = (1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24)
RIVALS = ("memcpy", "memcmp", "call", "checksum", "hash-table", "ksm-twin", "settle")
REPEATS = 7  # the fewest with which the interval that all runs span is one of 95 % and more, and one to spare
QUIET_CPUS, QUIET_STOLEN = 0.1, 0.01  # above that, others have been in the way
T = TypeVar("T", int, str)


@dataclass(frozen=True)
class _Plan:
    """What is measured, each value once."""

    loads: tuple[str, ...]
    sizes: tuple[int, ...]
    orders: tuple[str, ...]
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    checksums: tuple[str, ...]
    policies: tuple[str, ...]
    beside: tuple[str, ...]
    page_size: int
    repeats: int
    seed: int

    def settings(self) -> list[Tunables]:
        return [settings(*one) for one in product(self.orders, self.batches, self.checksums)]

    def choices(self) -> list[Choice]:
        named = [policy for policy in self.policies if policy != ENGINE]
        return [policy_choice(policy, batch) for policy, batch in product(named, self.batches)]


def bench(
    loads: Iterable[str] = tuple(LOADS),
    n_pages: int | Iterable[int] = 65536,
    orders: Iterable[str] = ("checksum-content",),
    page_size: int = 4096,
    batch: int | Iterable[int] = BATCH,
    threads: int | Iterable[int] = 1,
    checksum: str | Iterable[str] = strategies.DEFAULT,
    repeats: int = REPEATS,
    seed: int = 0,
    progress: Callable[[str, str], object] = lambda load, engine: None,
    policies: Iterable[str] = (ENGINE,),
    beside: Iterable[str] = RIVALS,
    kernel: bool = False,
    sandbox: Sandbox | None = None,
) -> BenchDocument:
    """Measure on every load: limits, checksum pass, hash table, KSM's twin; and policies in all that is asked for.

    The memory is that of n_pages pages, and up to 512 MiB; with the kernel, three times that. What comes twice counts
    once; of what has several values, every combination is measured.

    Args:
        loads: names of LOADS, or paths of files that hold memory.
        n_pages: pages of a load; of a file at most as many as it has.
        orders: of the trees of pksmd.
        page_size: in bytes.
        batch: pages per wake-up.
        threads: for the checksum pass and pksmd.
        checksum: a strategy in C, with its options.
        repeats: of every job; the median counts.
        seed: of the loads.
        progress: progress(load, engine) is called before each run.
        policies: "pksmd", the engine as it is at its best, or any policy as "NAME:PRESET".
        beside: of RIVALS, those to measure too; reading the bytes once is always measured.
        kernel: measure the running kernel's ksmd too, our ksmd, and both policies on the simulated machine.
        sandbox: where files are parsed; None is in this process.

    Returns:
        The document `pksm.bench/1`, ready for JSON.

    Raises:
        UsageError: what cannot be measured.
        UnsupportedError: the kernel's ksmd cannot be borrowed.
        ShortageError: there is less memory than that.
        WrongAnswer: an engine is wrong.
    """
    plan = _Plan(
        loads=_once(loads),
        sizes=_several(n_pages),
        orders=_once(orders),
        batches=_several(batch),
        threads=_several(threads),
        checksums=_several(checksum),
        policies=_once("pksmd" if one == "pksmd:fixed" else one for one in policies),
        beside=_once(beside),
        page_size=page_size,
        repeats=repeats,
        seed=seed,
    )
    files = _check(plan, kernel)
    where, before = machine(), cpu_times.now()
    rows: list[BenchRow] = []
    with ExitStack() as stack:
        of_files = _opened(stack, files, page_size, sandbox)
        about = {load: of_files[load].about if load in of_files else LOADS[load] for load in plan.loads}
        borrowed = _borrowed(stack) if kernel else None
        stack.enter_context(system.pinned(max(plan.threads)))
        warnings = [
            *(borrowed.warnings if borrowed else ()),
            *(line for one in of_files.values() for line in one.warnings),
        ]
        for ground in _grounds(plan, of_files, progress):
            jobs = _jobs(ground, plan, borrowed)
            rows += measure(jobs, repeats, lambda job: progress(job.load, job.engine))
            where["huge_kib"] = system.own_huge_bytes() >> 10
        meanwhile = interference(where, before, borrowed.cpu_s if borrowed else 0.0)
    document: BenchDocument = {
        "schema": SCHEMA,
        "pksm": pksm.__version__,
        "commit": checkout.commit(),
        "machine": where,
        "interference": meanwhile,
        "loads": about,
        "page_size": page_size,
        "checksum": plan.checksums[0],
        "period_seconds": PERIOD_SECONDS,
        "repeats": repeats,
        "confidence": statistics.ranks_of_interval(repeats)[1],
        "seed": seed,
        "rows": rows,
        "warnings": [*warnings, *busy(meanwhile, where["cores"])],
    }
    if kernel:
        from pksm.bench.beside_kernel import NOT_ALIKE

        document["against"] = NOT_ALIKE
    return document


def _once(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _several(values: T | Iterable[T]) -> tuple[T, ...]:
    return (values,) if isinstance(values, (int, str)) else _once(values)


def _check(plan: _Plan, kernel: bool) -> list[str]:
    """Raise UsageError or ShortageError for what cannot be measured; return the loads that are files."""
    wanted = {"loads": plan.loads, "n_pages": plan.sizes, "orders": plan.orders, "batch": plan.batches,
              "threads": plan.threads, "checksum": plan.checksums, "policies": plan.policies}  # fmt: skip
    for name, values in wanted.items():
        if not values:
            raise UsageError("there is nothing to measure: give one at least", name)
    files = [load for load in plan.loads if load not in LOADS]
    for load in files:
        if not os.path.lexists(load):
            raise unknown("unknown load", load, LOADS, more=", or name a file that holds memory")
    if plan.repeats < 1:
        raise UsageError(f"{plan.repeats} runs: each row needs one at least", "repeats")
    for size in plan.sizes:
        check_pages(size)
    for count in plan.threads:
        if count < 1:
            raise UsageError(f"{count} threads: there must be one at least", "threads")
    for size in plan.batches:
        if size < 1:
            raise UsageError(f"{size} pages per wake-up: there must be one at least", "batch")
    for rival in plan.beside:
        if rival not in RIVALS:
            raise unknown("unknown", rival, RIVALS, "beside")
    for name in plan.checksums:
        if not isinstance(strategies.make(name, plan.page_size), native.Function):
            raise UsageError(f"checksum {name} is a Python function, which C can't call: see pksm checksum profile")
    if kernel and plan.page_size != 4096:
        raise UsageError(f"{plan.page_size} bytes: beside the kernel, pages are its own, of 4096", "page_size")
    plan.settings()
    plan.choices()
    if not files:
        require(max(plan.sizes), plan.page_size, kernel)
    return files


def require(n_pages: int, page_size: int, kernel: bool = False) -> None:
    """Raise ShortageError unless there is the memory to measure with so many pages."""
    from pksm.bench import beside_kernel

    more = beside_kernel.needed_bytes(n_pages, page_size) if kernel else 0
    memory_limits.require(needed_bytes(n_pages, page_size) + more, "measure fewer pages")


def _opened(stack: ExitStack, files: list[str], page_size: int, sandbox: Sandbox | None) -> dict[str, FileLoad]:
    if not files:
        return {}
    from pksm.bench.of_file import opened_load

    return {path: stack.enter_context(opened_load(path, page_size, sandbox)) for path in files}


def _borrowed(stack: ExitStack) -> KernelJobs:
    from pksm.bench.beside_kernel import KernelJobs

    return stack.enter_context(KernelJobs())


def _grounds(plan: _Plan, of_files: dict[str, FileLoad], progress: Callable[[str, str], object]) -> Iterator[Ground]:
    """Yield memory that holds one load after the other, size by size. A file that is smaller comes in its own size."""
    done = set()
    for size in plan.sizes:
        ground: Ground | None = None
        for load in plan.loads:
            n_pages = min(size, len(of_files[load].pages)) if load in of_files else size
            if (load, n_pages) in done:
                continue
            done.add((load, n_pages))
            progress(load, "filling memory")
            if ground is None or len(ground.pages) != n_pages:
                ground = None  # gone before the next one comes
                ground = Ground(n_pages, plan.page_size)
            if load in of_files:
                ground.fill_by(of_files[load].write)
            else:
                ground.fill(load, plan.seed)
            yield ground


def _jobs(ground: Ground, plan: _Plan, kernel: KernelJobs | None) -> list[Job]:
    """All jobs on what fills the ground now: the yardsticks, and policies with each of the chosen settings."""
    beside = {*plan.beside, "read"}
    jobs = [job for job in limits(ground) if job.engine in beside]
    if "checksum" in beside:
        jobs += [checksum_job(ground, name, threads) for name, threads in product(plan.checksums, plan.threads)]
    if "hash-table" in beside:
        jobs += [table_job(ground, name) for name in plan.checksums]
    if "ksm-twin" in beside:
        jobs.append(ksm_job(ground))
    if kernel:
        from pksm.bench.beside_kernel import jobs_beside

        jobs += jobs_beside(ground, kernel, plan.batches[0])
    if ENGINE in plan.policies:
        for one in plan.settings():
            jobs += [settle_job(ground, one)] if "settle" in beside else []
            jobs += [pksmd_job(ground, one, threads) for threads in plan.threads]
    return jobs + [policy_job(ground, choice) for choice in plan.choices()]


def interference(where: MachineFacts, before: cpu_times.Moment, ours: float = 0.0) -> Interference:
    """Return what went on besides since `before`. ours: seconds of CPU that others have worked for us."""
    after = cpu_times.now()
    others, stolen = cpu_times.meanwhile(before, after, ours)
    return {
        "seconds": after.wall - before.wall,
        "load_before": where["busy_cores"],
        "others_cpus": others,
        "stolen_share": stolen,
        "trust": "ratios" if others > QUIET_CPUS or stolen > QUIET_STOLEN else "times",
    }


def busy(meanwhile: Interference, cores: int) -> list[str]:
    """Return a line if others were in the way: how much, and which figures hold nevertheless."""
    if meanwhile["trust"] == "times":
        return []
    return [
        f"the machine was busy: other processes used {meanwhile['others_cpus']:.1f} of {cores} CPUs, "
        f"{100 * meanwhile['stolen_share']:.0f} % went to other guests, load {meanwhile['load_before']:.1f} at the start; "
        "trust ratios within this run, not its times and rates, and do not compare those with another run"
    ]


def machine() -> MachineFacts:
    """Return what figures depend on: the facts of this machine, the level of the kernels in use, versions."""
    facts = {
        **system.machine(),
        "cpu_level": os.environ.get("PKSM_CPU") or native.cpu_levels()[-1],
        "numpy": np.__version__,
    }
    return cast(MachineFacts, facts)


def sizes_that_fit(page_size: int, kernel: bool = False) -> tuple[list[int], list[int]]:
    """Return the sizes of CURVE for which there is memory, and those for which there is not."""
    from pksm.errors import ShortageError

    fit, left_out = [], []
    for size in CURVE:
        try:
            require(size, page_size, kernel)
            fit.append(size)
        except ShortageError:
            left_out.append(size)
    return fit, left_out
