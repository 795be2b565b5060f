"""Where the command line reads what others wrote: in a worker that can do nothing else, unless that is switched off."""

import importlib
import os
import pkgutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from pksm.cli import output
from pksm.cli.interrupts import HeldInterrupts

if TYPE_CHECKING:
    from pksm.sources import Sandbox

SWITCH = "PKSM_SANDBOX"
OFF = "off"
TELL_S = 0.1  # between two reports of progress
# What simulations are made of: a worker can load no module once it is restricted.
_OF_SIMULATIONS = (
    "pksm.engine",
    "pksm.hosts",
    "pksm.policies",
    "pksm.recording",
    "pksm.simulation",
    "pksm.validation.recorded",
)

Report = Callable[..., None]
Opener = Callable[[str], BinaryIO]


def is_on() -> bool:
    """Return whether files are read in workers: yes, but for debugging."""
    return os.environ.get(SWITCH) != OFF


@contextmanager
def for_files(are_files: bool) -> "Iterator[Sandbox | None]":
    """Give the sandbox that files are opened in; None without files, or while it is switched off."""
    if not are_files or not is_on():
        yield None
        return
    from pksm.sources import Sandbox

    say_what_lacks()
    with Sandbox() as sandbox:
        yield sandbox


def with_file(
    path: str | None,
    work: Callable[[Opener, Report], Any],
    progress: Report,
    interrupts: HeldInterrupts,
    more: Sequence[str] = (),
) -> Any:
    """Return work(opener, progress), which reads files, from a worker; a path of None means that it reads none.

    Args:
        path: of the file.
        work: makes a document; in the worker it can open nothing else, and load no module.
        progress: called with what `work` reports, every now and then.
        interrupts: which reach the worker.
        more: paths of files that it reads besides.
    """
    fds = {name: _opened(name) for name in (path, *more) if name is not None} if is_on() else {}
    opened = {name: fd for name, fd in fds.items() if fd is not None}
    if path is None or len(opened) < len({path, *more}):
        from pksm.simulation.trace import open_binary

        for fd in opened.values():
            os.close(fd)
        return work(open_binary, progress)
    from pksm.linux.sandbox import calls, worker

    def here(tell: Report) -> Any:
        interrupts.take(worker.INTERRUPT)
        return work(lambda name: _from_start(opened[name]), _now_and_then(tell))

    say_what_lacks()
    workers: list[worker.Worker] = []

    def started(one: worker.Worker) -> None:
        workers.append(one)
        if interrupts.last:  # it came before
            one.interrupt()

    def interrupt() -> None:
        for one in workers:
            one.interrupt()

    try:
        with interrupts.passed_on(interrupt):
            return calls.call(here, path, _load_simulations, list(opened.values()), progress, started)
    finally:
        for fd in opened.values():
            os.close(fd)


def _opened(path: str) -> int | None:
    """Open a file; None where that fails, or it is a directory: whoever reads it says why."""
    with suppress(OSError, ValueError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    return None


def _from_start(fd: int) -> BinaryIO:
    with suppress(OSError):  # a pipe is read once, from where it is
        os.lseek(fd, 0, os.SEEK_SET)
    return os.fdopen(os.dup(fd), "rb")


def _now_and_then(tell: Report) -> Report:
    """Return what reports at most ten times a second."""
    told = 0.0

    def report(*arguments: Any) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= TELL_S:
            told = now
            tell(*arguments)

    return report


def _load_simulations() -> None:
    import numpy.ma  # noqa: F401 (numpy.unique loads it when it is first called, which a worker can't)

    from pksm.engine import checksums
    from pksm.policies import registry

    for name in _OF_SIMULATIONS:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    time.localtime()  # reads the time zone, which a worker can't: hours of a recording are by it
    checksums.names()  # those of other packages, too
    registry.names()


def say_what_lacks() -> None:
    """Print a remark where the kernel does not restrict workers."""
    from pksm.linux.sandbox import seccomp

    if not seccomp.is_offered():
        output.remark("this kernel has no seccomp for pksm: files are parsed in a process that may do what you may")
