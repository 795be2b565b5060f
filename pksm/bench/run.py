"""Measures the engine and its yardsticks on the same bytes, in the same minutes, with every answer checked.

One process on one CPU (but for more threads), memory touched before the clock starts. CPU time stands beside wall
time: on a machine that others use too, only the first says what the work costs. Jobs take turns, so that a busy
minute falls on all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, cast

import numpy as np

import pksm
from pksm.bench.engine_jobs import BATCH, PERIOD_SECONDS, pksmd_job, settings, settle_job
from pksm.bench.measuring import measure
from pksm.bench.yardsticks import Ground, checksum_job, ksm_job, limits, table_job
from pksm.documents import BenchDocument, BenchRow, MachineFacts
from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.errors import UsageError
from pksm.linux import checkout, system
from pksm.simulation.workloads import LOADS

if TYPE_CHECKING:
    from pksm.bench.yardsticks import Job
    from pksm.policies.pksmd.tunables import Tunables


SCHEMA: Final = "pksm.bench/1"


def bench(
    loads: Iterable[str] = tuple(LOADS),
    n_pages: int = 65536,
    orders: Iterable[str] = ("checksum-content",),
    page_size: int = 4096,
    batch: int = BATCH,
    threads: int = 1,
    checksum: str = strategies.DEFAULT,
    repeats: int = 3,
    seed: int = 0,
    progress: Callable[[str, str], object] = lambda load, engine: None,
) -> BenchDocument:
    """Measure on every load: limits, checksum pass, hash table, KSM's twin; and the engine in every order.

    The memory is that of n_pages pages, and up to 512 MiB.

    Args:
        loads: names of LOADS; one that comes twice counts once.
        n_pages: pages of a load.
        orders: of the trees; one that comes twice counts once.
        page_size: in bytes.
        batch: pages per wake-up.
        threads: for the checksum pass and the engine.
        checksum: a strategy in C, with its options.
        repeats: of every job; the median counts.
        seed: of the loads.
        progress: progress(load, engine) is called before each run.

    Returns:
        The document `pksm.bench/1`, ready for JSON.

    Raises:
        UsageError: what cannot be measured.
        WrongAnswer: an engine is wrong.
    """
    loads, orders = tuple(dict.fromkeys(loads)), tuple(dict.fromkeys(orders))
    _check(loads, orders, page_size, threads, checksum, repeats)
    chosen = [settings(order, batch, checksum) for order in orders]
    where = machine()
    rows: list[BenchRow] = []
    with system.pinned(threads):
        ground = Ground(n_pages, page_size)
        for load in loads:
            progress(load, "filling memory")
            ground.fill(load, seed)
            jobs = _jobs(ground, chosen, checksum, threads)
            rows += measure(jobs, repeats, lambda job: progress(job.load, job.engine))
        where["huge_kib"] = system.own_huge_bytes() >> 10
    return {
        "schema": SCHEMA,
        "pksm": pksm.__version__,
        "commit": checkout.commit(),
        "machine": where,
        "loads": {load: LOADS[load] for load in loads},
        "page_size": page_size,
        "checksum": checksum,
        "period_seconds": PERIOD_SECONDS,
        "repeats": repeats,
        "seed": seed,
        "rows": rows,
    }


def _check(
    loads: tuple[str, ...], orders: tuple[str, ...], page_size: int, threads: int, checksum: str, repeats: int
) -> None:
    """Raise UsageError for what cannot be measured."""
    unknown = [load for load in loads if load not in LOADS]
    if unknown:
        raise UsageError(f"unknown load {unknown[0]!r}: choose from {', '.join(LOADS)}")
    if not loads or not orders or repeats < 1 or threads < 1:
        raise UsageError("nothing to measure: name a load, an order, one repeat and one thread at least")
    if not isinstance(strategies.make(checksum, page_size), native.Function):
        raise UsageError(f"checksum {checksum} is a Python function, which C can't call: see pksm checksum profile")


def _jobs(ground: Ground, chosen: list[Tunables], checksum: str, threads: int) -> list[Job]:
    """All jobs on what fills the ground now: the yardsticks, and the engine with each of the chosen settings."""
    jobs = [*limits(ground), checksum_job(ground, checksum, threads), table_job(ground, checksum), ksm_job(ground)]
    for one in chosen:
        jobs += [settle_job(ground, one), pksmd_job(ground, one, threads)]
    return jobs


def machine() -> MachineFacts:
    """Return what figures depend on: the facts of this machine, the level of the kernels in use, versions."""
    facts = {
        **system.machine(),
        "cpu_level": os.environ.get("PKSM_CPU") or native.cpu_levels()[-1],
        "numpy": np.__version__,
    }
    return cast(MachineFacts, facts)
