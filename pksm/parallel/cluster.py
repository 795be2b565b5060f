"""A Dask cluster as an executor of concurrent.futures: its own retries, spilling and dashboards; extra `pksm[dask]`."""

import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from pksm.errors import PksmError, UsageError

RETRIES = 3  # of a task whose worker was lost, or that failed there
ANSWER_S = 10  # until a scheduler has to answer, and to come back


class Cluster(Executor):
    """The workers of a Dask cluster.

    Args:
        client: a distributed.Client; it stays the caller's.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._executor = client.get_executor(pure=False, retries=RETRIES)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        """Return the future of function(*arguments) on some worker; what share() returned comes as what was shared."""
        future: Future[Any] = self._executor.submit(function, *arguments, **named)
        return future

    def share(self, thing: Any) -> Any:
        """Send something to the workers once, and return what stands for it among the arguments of submit."""
        return self.client.scatter(thing, broadcast=True, hash=False)

    def check(self) -> None:
        """Raise PksmError unless there is a worker, and each has this version of pksm."""
        from pksm import __version__

        try:
            self.client.wait_for_workers(1, timeout=ANSWER_S)
        except TimeoutError:
            raise PksmError(f"{self.client.scheduler.address}: the cluster has no workers") from None
        found = self.client.run(_version)
        wrong = sorted({str(version) for version in found.values() if version != __version__})
        if wrong:
            raise PksmError(f"{self.client.scheduler.address}: a worker has pksm {wrong[0]}, and not {__version__}")


def _version() -> str:
    from pksm import __version__

    return __version__


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
