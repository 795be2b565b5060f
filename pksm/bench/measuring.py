"""Measuring jobs: in turn, in rounds, with every answer checked. Medians come out, with the interval of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from pksm.bench import statistics
from pksm.documents import BenchRow

if TYPE_CHECKING:
    from pksm.bench.yardsticks import Job

YARDSTICK = "read"  # what the others' time is a multiple of


def measure(jobs: list[Job], repeats: int = 3, progress: Callable[[Job], object] = lambda job: None) -> list[BenchRow]:
    """Run the jobs in turn, `repeats` rounds, check every answer, and return their rows: medians.

    A row for each job, and behind it one for each of its steps (engine "NAME: STEP"). progress(job): called before
    each run. Ratios are those of each round, so that what slows a minute down slows both sides.
    """
    samples: list[dict[str | None, list[tuple[float, float]]]] = [
        {} for _ in jobs
    ]  # job -> step -> [(wall, CPU)]; the job itself is the step None
    merges: list[int | None] = [None] * len(jobs)
    for _ in range(repeats):
        for number, job in enumerate(jobs):
            progress(job)
            clock = job.clock or time.process_time
            prepared = job.prepare()
            wall, cpu = time.perf_counter(), clock()
            answer = job.work(prepared)
            cpu, wall = clock() - cpu, time.perf_counter() - wall
            del prepared
            merges[number] = job.check(answer)
            samples[number].setdefault(None, []).append((wall, cpu))
            for step, seconds in job.steps(answer).items():
                samples[number].setdefault(step, []).append(seconds)
            del answer
    limit = next((sampled[None] for job, sampled in zip(jobs, samples, strict=True) if job.engine == YARDSTICK), None)
    return [
        _row(job, step, seconds, merged if step is None else None, limit)
        for job, merged, sampled in zip(jobs, merges, samples, strict=True)
        for step, seconds in sampled.items()
    ]


def _row(
    job: Job,
    step: str | None,
    seconds: Sequence[tuple[float, float]],
    merges: int | None,
    limit: Sequence[tuple[float, float]] | None,
) -> BenchRow:
    wall_s, cpu_s = ([float(one) for one in column] for column in zip(*seconds, strict=True))
    cpu, (low, high) = median(cpu_s), statistics.interval(cpu_s)
    times: tuple[float, float, float] | tuple[None, None, None] = (None, None, None)
    if limit is not None and job.is_of_pages and all(read for _, read in limit):
        ratios = [one / read for one, (_, read) in zip(cpu_s, limit, strict=True)]
        times = (median(ratios), *statistics.interval(ratios))
    return {
        "load": job.load,
        "pages": job.pages,
        "engine": job.engine if step is None else f"{job.engine}: {step}",
        "order": job.order,
        "batch": job.batch,
        "threads": job.threads,
        "wall_s": median(wall_s),
        "cpu_s": cpu,
        "pages_per_cpu_s": job.pages / cpu if cpu else None,  # a step may be shorter than the clock can show
        "merges_per_cpu_s": None if merges is None or not cpu else merges / cpu,
        "ns_per_page": 1e9 * cpu / job.pages,
        "checksum": job.checksum,
        "merges": merges,
        "ns_low": 1e9 * low / job.pages,
        "ns_high": 1e9 * high / job.pages,
        "times_read": times[0],
        "times_read_low": times[1],
        "times_read_high": times[2],
        "cpu_samples_s": cpu_s,
        "wall_samples_s": wall_s,
    }
