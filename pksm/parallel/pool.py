"""A pool of processes: as many workers as fit, and a lost one costs its tasks only; and executors of others."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from pksm.errors import PksmError
from pksm.linux import memory_limits
from pksm.linux.sandbox import system_call

_PR_SET_PDEATHSIG = 1
MOST_LOSSES = 3  # of workers without a result in between


def workers_for(tasks: int, bytes_each: int) -> int:
    """Return how many processes to run side by side: one for each CPU, if memory allows."""
    cpus = len(os.sched_getaffinity(0))
    available = memory_limits.available_bytes()
    fit = cpus if available is None else available // max(1, bytes_each)
    return max(1, min(cpus, tasks, fit))


def own_results(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[tuple[int, Any]]:
    """Yield (number, function(task)) of tasks, as they are done, from processes of our own.

    If a worker dies, as when the kernel needs its memory, the tasks that it took along are begun again.

    Raises:
        PksmError: workers die again and again.
    """
    left, losses = dict(enumerate(tasks)), 0
    while left:
        try:
            with _processes(workers) as executor:
                futures = {executor.submit(function, task): number for number, task in left.items()}
                for future in as_completed(futures):
                    number, result = futures[future], future.result()
                    left.pop(number)
                    losses = 0
                    yield number, result
        except BrokenProcessPool:
            losses += 1
            if losses > MOST_LOSSES:
                raise PksmError(
                    f"a worker died {losses} times: is there too little memory for {workers} of them side by side?"
                ) from None


@contextmanager
def _processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a process pool, which ends at once if the block fails: nobody waits for runs that nobody wants.

    Futures are not cancelled before their processes are killed: the pool's own thread fails on those that are
    (InvalidStateError, CPython 3.11).
    """
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), initializer=_prepare)
    try:
        yield executor
    except BaseException:
        processes = list((executor._processes or {}).values())
        for process in processes:
            process.kill()
        raise
    finally:
        executor.shutdown()


def results(
    executor: Executor, function: Callable[..., Any], tasks: dict[int, tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Yield (number, function(*arguments)) of tasks, as they are done. What is not begun is given up if nobody goes on.

    Raises:
        PksmError: the executor has given tasks up, as a cluster does when its scheduler goes away.
    """
    futures: dict[Future[Any], int] = {}
    try:
        for number, arguments in tasks.items():
            futures[executor.submit(function, *arguments)] = number
        for future in as_completed(futures):
            yield futures[future], future.result()
    except CancelledError:
        raise PksmError("the executor has given up tasks that were not done: has its scheduler gone?") from None
    finally:
        for future in futures:
            future.cancel()


def _prepare() -> None:
    """Ctrl-C reaches all processes of a terminal: the one that waits decides. A worker ends with that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    system_call.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
