"""Measures the engine and its yardsticks on the same bytes, in the same minutes, with every answer checked.

One process on one CPU (but for more threads), memory touched before the clock starts. CPU time stands beside wall
time: on a machine that others use too, only the first says what the work costs. Jobs take turns, so that a busy
minute falls on all of them.
"""

import gc
import os
import time
from statistics import median

import numpy as np

import pksm
from pksm.bench.yardsticks import (
    Ground,
    Job,
    WrongAnswer,
    check_counts,
    check_same,
    checksum_job,
    ksm_job,
    limits,
    table_job,
)
from pksm.engine import native
from pksm.engine.checksums import strategies as checksums
from pksm.engine.settle import Rules, Verdict
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.linux import system
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import WINDOW, Pksmd
from pksm.policies.pksmd.items import Items
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.simulation.workloads import LOADS

SCHEMA = "pksm.bench/1"
BATCH = 65536  # pages a wake-up, as a scan has it
# The recheck of unshared pages depends on time, not on work: it is put off, so that every page is summed once.
PERIOD_SECONDS = 100_000_000


def settings(order="checksum-content", batch=BATCH, checksum=checksums.DEFAULT):
    """Return the tunables that the engine is measured with: preset `fixed`, without the periodic recheck."""
    return tunables.preset("fixed").with_(
        order=order, pages_to_scan=batch, checksum=checksum, period_seconds=PERIOD_SECONDS
    )


def settle_job(ground, tunables_):
    """Return the job of the engine's C part alone: checksums, searches and trees, batch by batch; nothing is merged."""
    strategy, n_pages = checksums.make(tunables_.checksum, ground.store.page_size), len(ground.pages)
    rules = Rules(strategy, order=tunables_.order, distrust=tunables_.order != "content", window=WINDOW)
    rules = rules.pack(ground.store.page_size)

    def prepare():
        items = Items(n_pages + 1)
        ids = items.allocate(ground.pages)
        items.set_flags(ids, native.INITCHECKSUM)
        return items, ids, np.full(n_pages, 255, np.uint8), np.full(n_pages, 1, np.uint32)

    def work(prepared):
        items, ids, verdicts, others = prepared
        cost = np.zeros(1, native.COST)
        for start in range(0, n_pages, tunables_.pages_to_scan):
            part = slice(start, start + tunables_.pages_to_scan)
            done = native.settle(ground.store.view, items.table, rules, None, ids[part], cost)
            verdicts[part], others[part] = done.verdicts, done.others
        return prepared

    def check(worked):
        items, ids, verdicts, others = worked
        zero, merged = verdicts == Verdict.ZERO, (verdicts == Verdict.JOINED) | (verdicts == Verdict.PAIRED)
        n_zero, n_merged = int(np.count_nonzero(zero)), int(np.count_nonzero(merged))
        check_counts(ground.load, zero=n_zero, duplicates=n_merged + max(0, n_zero - 1))
        check_same(ground.load, items.page[others[merged]], items.page[ids[merged]], ground.first)
        return n_zero + n_merged

    return Job(
        engine="settle in C",
        load=ground.load.name,
        pages=n_pages,
        prepare=prepare,
        work=work,
        check=check,
        order=tunables_.order,
        batch=tunables_.pages_to_scan,
    )


def pksmd_job(ground, tunables_, threads=1):
    """Return the job of the engine proper: from the birth of all pages until pksmd is at rest. Its steps are timed."""
    most_wakes = 100 + 10 * -(-len(ground.pages) // tunables_.pages_to_scan)

    def prepare():
        gc.collect()
        host = FlatHost(ground.store, static=True)
        return host, Pksmd(host, tunables_, threads=threads)

    def work(prepared):
        host, pksmd = prepared
        lap = pksmd.cost.laps()
        host.add(ground.pages)
        lap("add")
        wakes = 0
        while not pksmd.at_rest and wakes < most_wakes:
            pksmd.wake()
            wakes += 1
        return prepared

    def check(worked):
        host, pksmd = worked
        if not pksmd.at_rest:
            where = f"load {ground.load.name}, order {tunables_.order}"
            raise WrongAnswer(f"{where}: not at rest after {most_wakes} wake-ups")
        return check_frames(ground.load, host.frame_of[ground.pages], ground.first)

    def steps(worked):
        cost = worked[1].cost
        return {name: (cost.wall_s[name], cpu_s) for name, cpu_s in cost.cpu_s.items()}

    return Job(
        engine="pksmd",
        load=ground.load.name,
        pages=len(ground.pages),
        prepare=prepare,
        work=work,
        check=check,
        order=tunables_.order,
        batch=tunables_.pages_to_scan,
        threads=threads,
        steps=steps,
    )


def check_frames(load, frames, first):
    """Return the number of pages merged away; WrongAnswer unless exactly the equal pages share a frame.

    frames: FlatHost.frame_of of the load's pages, the first of which is page number `first`.
    """
    zero, alive = frames == ZERO_FRAME, frames != NO_FRAME
    distinct, n_alive = len(np.unique(frames[alive])), int(np.count_nonzero(alive))
    check_counts(
        load, pages=n_alive, zero=int(np.count_nonzero(zero)), distinct=distinct, duplicates=n_alive - distinct
    )
    if load.contents[zero].any():
        raise WrongAnswer(f"load {load.name}: pages of different content share a frame")
    kept = frames[alive & ~zero]
    check_same(load, kept, first + np.flatnonzero(alive & ~zero), first)
    return n_alive - len(np.unique(kept))


def measure(jobs, repeats=3, progress=lambda job: None):
    """Run the jobs in turn, `repeats` rounds, check every answer, and return their rows: medians.

    A row for each job, and behind it one for each of its steps (engine "NAME: STEP"). progress(job): called before
    each run.
    """
    samples = [{} for _ in jobs]  # job -> step -> [(wall, CPU)]; the job itself is the step None
    merges = [None] * len(jobs)
    for _ in range(repeats):
        for number, job in enumerate(jobs):
            progress(job)
            prepared = job.prepare()
            wall, cpu = time.perf_counter(), time.process_time()
            answer = job.work(prepared)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            del prepared
            merges[number] = job.check(answer)
            for step, seconds in {None: (wall, cpu), **job.steps(answer)}.items():
                samples[number].setdefault(step, []).append(seconds)
            del answer
    return [
        _row(job, step, seconds, merged if step is None else None)
        for job, merged, steps in zip(jobs, merges, samples, strict=True)
        for step, seconds in steps.items()
    ]


def _row(job, step, seconds, merges):
    wall_s, cpu_s = (median(column) for column in zip(*seconds, strict=True))
    return {
        "load": job.load,
        "pages": job.pages,
        "engine": job.engine if step is None else f"{job.engine}: {step}",
        "order": job.order,
        "batch": job.batch,
        "threads": job.threads,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "pages_per_cpu_s": job.pages / cpu_s if cpu_s else None,  # a step may be shorter than the clock can tell
        "merges_per_cpu_s": None if merges is None else merges / cpu_s,
        "ns_per_page": 1e9 * cpu_s / job.pages,
    }


def run(
    loads=tuple(LOADS),
    n_pages=65536,
    orders=("checksum-content",),
    page_size=4096,
    batch=BATCH,
    threads=1,
    checksum=checksums.DEFAULT,
    repeats=3,
    seed=0,
    progress=lambda load, engine: None,
):
    """Measure on every load: limits, checksum pass, hash table, KSM's twin; and the engine in every order.

    loads, orders: a name that comes twice counts once. threads: for the checksum pass and the engine.
    progress(load, engine): called before each run. Returns the document `pksm.bench/1`, ready for JSON. The
    memory is that of n_pages pages, and up to 512 MiB. UsageError for what can't be measured, WrongAnswer for a wrong
    engine.
    """
    loads, orders = tuple(dict.fromkeys(loads)), tuple(dict.fromkeys(orders))
    unknown = [load for load in loads if load not in LOADS]
    if unknown:
        raise UsageError(f"unknown load {unknown[0]!r}: choose from {', '.join(LOADS)}")
    if not loads or not orders or repeats < 1 or threads < 1:
        raise UsageError("nothing to measure: name a load, an order, one repeat and one thread at least")
    chosen = [settings(order, batch, checksum) for order in orders]
    if not isinstance(checksums.make(checksum, page_size), native.Function):
        raise UsageError(f"checksum {checksum} is a Python function, which C can't call: see pksm checksum profile")
    where = machine()
    rows = []
    with system.pinned(threads):
        ground = Ground(n_pages, page_size)
        for load in loads:
            progress(load, "filling memory")
            ground.fill(load, seed)
            jobs = [*limits(ground), checksum_job(ground, checksum, threads), table_job(ground, checksum)]
            jobs.append(ksm_job(ground))
            for one in chosen:
                jobs += [settle_job(ground, one), pksmd_job(ground, one, threads)]
            rows += measure(jobs, repeats, lambda job: progress(job.load, job.engine))
        where["huge_kib"] = system.own_huge_bytes() >> 10
    return {
        "schema": SCHEMA,
        "pksm": pksm.__version__,
        "machine": where,
        "loads": {load: LOADS[load] for load in loads},
        "page_size": page_size,
        "checksum": checksum,
        "period_seconds": PERIOD_SECONDS,
        "repeats": repeats,
        "seed": seed,
        "rows": rows,
    }


def machine():
    """Return what figures depend on: the facts of this machine, the level of the kernels in use, versions."""
    return {
        **system.machine(),
        "cpu_level": os.environ.get("PKSM_CPU") or native.cpu_levels()[-1],
        "numpy": np.__version__,
    }
