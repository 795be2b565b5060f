"""A fleet added up exactly: a task for each memory, then one for each bucket; here, or on a cluster."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial, reduce
from operator import add
from typing import Any

from pksm.arrays import StructArray
from pksm.errors import UsageError
from pksm.fleet.buckets import Buckets, opened
from pksm.fleet.tally import Groups, Tally
from pksm.parallel import pool

BYTES_A_ROW = 160  # of a bucket while it is added up
BUCKETS = 64

Read = Callable[[int], StructArray]


def buckets_for(rows: int, limit: int, workers: int) -> int:
    """Return into how many buckets so many rows are split, that all workers together stay within `limit` bytes."""
    return max(BUCKETS, -(-rows * BYTES_A_ROW * workers // max(1, limit)))


def add_up(
    read: Read,
    groups: Groups,
    directory: str | os.PathLike[str],
    *,
    about: dict[str, object] | None = None,
    buckets: int = BUCKETS,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Tally:
    """Return what all contents of a fleet add up to.

    Args:
        read: returns the rows of a memory by its number; it runs in workers, so it must pickle.
        groups: the host and the tenant of each memory.
        directory: for rows and buckets, which all workers reach; a run that ended goes on from what is there.
        about: what distinguishes this fleet from others, as JSON can say it; the groups always do.
        buckets: into how many the sums are split: buckets_for() bounds memory with it.
        workers: processes of our own; as many as there are CPUs unless given.
        executor: workers of others in their place, such as pksm.parallel.cluster.cluster().

    Raises:
        UsageError: there is no memory, or the directory is that of another run.
        PksmError: a memory can't be read, or workers die again and again.
    """
    if not len(groups):
        raise UsageError("a fleet has at least one memory", "groups")
    known = {"host": groups.host.tolist(), "tenant": groups.tenant.tolist(), **(about or {})}
    kept = opened(directory, buckets, known)
    left = [number for number in range(len(groups)) if not kept.done(number)]
    for _ in _results(partial(_put, kept, read), left, workers, executor):
        pass
    tallies = _results(partial(_add_up, kept, groups), range(buckets), workers, executor)
    return reduce(add, (summed for _, summed in tallies))


def _results(
    function: Callable[[int], Any], numbers: Sequence[int], workers: int | None, executor: Executor | None
) -> Iterator[tuple[int, Any]]:
    if executor is not None:
        return pool.results(executor, function, {number: (number,) for number in numbers})
    return pool.own_results(function, numbers, workers or pool.workers_for(max(1, len(numbers)), 1))


def _put(kept: Buckets, read: Read, number: int) -> int:
    rows = read(number).copy()
    rows["member"] = number
    return kept.put(number, rows)


def _add_up(kept: Buckets, groups: Groups, bucket: int) -> Tally:
    return kept.add_up(bucket, groups)
