"""A Dask cluster as an executor of concurrent.futures: its own retries, spilling and dashboards; extra `pksm[dask]`."""

import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from pksm.errors import PksmError, UsageError
from pksm.linux.allocator import freed_memory_kept

RETRIES = 3  # of a task whose worker was lost, or that failed there
SHARE = 0.5  # of its limit, that tasks may take: Dask spills from 60 % on, and pauses a worker at 80 %
ANSWER_S = 10  # until a scheduler has to answer, and to come back


class Cluster(Executor):
    """The workers of a Dask cluster.

    Args:
        client: a distributed.Client; it stays the caller's.

    Attributes:
        bytes_each: that each of several tasks may take at a time, so that no worker pauses; None: nothing limits them.
            check() finds out.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self.bytes_each: int | None = None
        self._executor = client.get_executor(pure=False, retries=RETRIES)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        """Return the future of function(*arguments) on some worker; what share() returned comes as what was shared."""
        future: Future[Any] = self._executor.submit(_done, function, *arguments, **named)
        return future

    def share(self, thing: Any) -> Any:
        """Send something to the workers once, and return what stands for it among the arguments of submit."""
        return self.client.scatter(thing, broadcast=True, hash=False)

    def check(self) -> None:
        """Raise PksmError unless there is a worker, and each has this version of pksm; look how much memory they have."""
        from pksm import __version__

        try:
            self.client.wait_for_workers(1, timeout=ANSWER_S)
        except TimeoutError:
            raise PksmError(f"{self.client.scheduler.address}: the cluster has no workers") from None
        try:
            found = self.client.run(_about)
        except (ImportError, AttributeError):
            raise PksmError(
                f"{self.client.scheduler.address}: a worker has no pksm, or another one than this"
            ) from None
        wrong = sorted({str(version) for version, _ in found.values() if version != __version__})
        if wrong:
            raise PksmError(f"{self.client.scheduler.address}: a worker has pksm {wrong[0]}, and not {__version__}")
        limits = [most for _, most in found.values() if most is not None]
        self.bytes_each = min(limits, default=None)


def _done(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Do a task in a worker, whose environment makes the C library give all memory back at once."""
    with freed_memory_kept():
        return function(*arguments, **named)


def _about(dask_worker: Any) -> tuple[str, int | None]:
    """Return the version of a worker, and the bytes that each of its tasks may take at a time."""
    from pksm import __version__

    most = dask_worker.memory_manager.memory_limit
    return __version__, None if not most else int(most * SHARE / dask_worker.state.nthreads)


def _why(error: Exception) -> str:
    """Return, in brackets, what is wrong with an address or a scheduler's file; "" if nobody answers there."""
    return (
        " (it is not an address of Dask, or not a file of its scheduler)"
        if isinstance(error, (ValueError, AssertionError, KeyError))
        else ""
    )


@contextmanager
def cluster(address: str | None = None, scheduler_file: str | os.PathLike[str] | None = None) -> Iterator[Cluster]:
    """Give the workers of a Dask cluster, which is the user's own and goes on afterwards.

    Args:
        address: of its scheduler, such as tcp://10.0.0.1:8786.
        scheduler_file: that the scheduler has written, in place of an address.

    Raises:
        UsageError: Dask is not installed, or there is no such address or file.
        PksmError: nobody answers there, there are no workers, or they have another pksm.
    """
    try:
        dask = importlib.import_module("dask")
        # Errors reach us as exceptions: its log would say them again, in many lines.
        with dask.config.set(logging={"distributed": "critical", "distributed.client": "critical"}):
            distributed = importlib.import_module("distributed")
    except ImportError:
        raise UsageError("Dask is not installed: pip install 'pksm[dask]'") from None
    if (address is None) == (scheduler_file is None):
        raise UsageError("give either the address of a scheduler, or the file that it has written")
    if scheduler_file is not None and not os.path.isfile(scheduler_file):
        raise UsageError(f"{os.fspath(scheduler_file)}: there is no such file")
    where = address if address is not None else os.fspath(scheduler_file or "")
    with dask.config.set({"distributed.comm.timeouts.connect": f"{ANSWER_S}s"}):
        try:
            to = {"address": address} if address is not None else {"scheduler_file": scheduler_file}
            client = distributed.Client(timeout=f"{ANSWER_S}s", set_as_default=False, **to)
        except Exception as error:
            raise PksmError(f"{where}: no Dask scheduler answers{_why(error)}") from None
        try:
            made = Cluster(client)
            made.check()
            yield made
        except Exception as error:
            if not type(error).__module__.startswith("distributed"):
                raise
            raise PksmError(f"{where}: {type(error).__name__}: {error}".partition("\n")[0]) from None
        finally:
            client.close(timeout=ANSWER_S)
