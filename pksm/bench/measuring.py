"""Measuring jobs: in turn, in rounds, with every answer checked. Medians come out."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

from pksm.documents import BenchRow

if TYPE_CHECKING:
    from pksm.bench.yardsticks import Job


def measure(jobs: list[Job], repeats: int = 3, progress: Callable[[Job], object] = lambda job: None) -> list[BenchRow]:
    """Run the jobs in turn, `repeats` rounds, check every answer, and return their rows: medians.

    A row for each job, and behind it one for each of its steps (engine "NAME: STEP"). progress(job): called before
    each run.
    """
    samples: list[dict[str | None, list[tuple[float, float]]]] = [
        {} for _ in jobs
    ]  # job -> step -> [(wall, CPU)]; the job itself is the step None
    merges: list[int | None] = [None] * len(jobs)
    for _ in range(repeats):
        for number, job in enumerate(jobs):
            progress(job)
            prepared = job.prepare()
            wall, cpu = time.perf_counter(), time.process_time()
            answer = job.work(prepared)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            del prepared
            merges[number] = job.check(answer)
            samples[number].setdefault(None, []).append((wall, cpu))
            for step, seconds in job.steps(answer).items():
                samples[number].setdefault(step, []).append(seconds)
            del answer
    return [
        _row(job, step, seconds, merged if step is None else None)
        for job, merged, sampled in zip(jobs, merges, samples, strict=True)
        for step, seconds in sampled.items()
    ]


def _row(job: Job, step: str | None, seconds: list[tuple[float, float]], merges: int | None) -> BenchRow:
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
        "pages_per_cpu_s": job.pages / cpu_s if cpu_s else None,  # a step may be shorter than the clock can show
        "merges_per_cpu_s": None if merges is None else merges / cpu_s,
        "ns_per_page": 1e9 * cpu_s / job.pages,
    }
