"""Batches that wait for the kernel or for memory: two go on at a time where there are two CPUs."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Done = TypeVar("Done")


def work_off(work: Callable[..., Done], batches: Iterable[tuple[Any, ...]]) -> Iterator[Done]:
    """Yield work(*batch) of all batches, in the order in which they are done; a second thread helps.

    What `work` raises is raised. After that, or when nobody wants more, no further batch is begun, and none goes on.
    """
    batches = list(batches)
    done: collections.deque[Done] = collections.deque()
    waiting = iter(batches)  # next() of a list's iterator gives each batch to one thread

    def drop_rest() -> None:
        collections.deque(waiting, maxlen=0)

    def help_out() -> None:
        try:
            for batch in waiting:
                done.append(work(*batch))
        finally:
            drop_rest()

    if len(batches) < 2 or len(os.sched_getaffinity(0)) < 2:
        yield from (work(*batch) for batch in waiting)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as helper:  # its end waits for the batch that goes on
        try:
            try:
                helped = helper.submit(help_out)
            except RuntimeError:  # there is no thread to be had
                helped = None
            for batch in waiting:  # this thread works too: to be woken for each result would take longer
                yield work(*batch)
                while done:
                    yield done.popleft()
            if helped is not None:
                helped.result()
            yield from done
        finally:
            drop_rest()
