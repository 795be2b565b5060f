"""The running kernel's own ksmd, borrowed: stepped scan by scan, and every knob put back afterwards.

ksmd is one thread for the whole machine. So it is borrowed under a lock, only while no other process has mergeable
memory. The old values stand in a record beside the lock, and a guard process puts them back when we are done, or dead.
If the guard dies it is started anew; what is left behind when both die at once is put back by the next who borrows.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import run_files
from pksm.linux.guarded import Guarded
from pksm.linux.ksm import files, put_back
from pksm.linux.proc import tasks

LOCK, RECORD = "ksm.lock", "ksm.json"  # in run_files.DIRECTORY
NEVER_MILLISECS = 3_600_000  # ksmd sleeps that long, or until this value changes: that is how it is stepped
EVERYTHING = (1 << 31) - 1  # pages_to_scan
SCAN_TIMEOUT_S = 60.0


def require() -> None:
    """Raise UnsupportedError, with the reason, unless the kernel's ksmd can be borrowed."""
    if not files.exists():
        raise UnsupportedError(f"{files.DIRECTORY}: not there: this kernel has no KSM")
    if os.geteuid() != 0:
        raise UnsupportedError(f"{files.DIRECTORY}: only root can set its knobs: run as root")
    if not os.access(files.path_of("run"), os.W_OK):
        raise UnsupportedError(f"{files.DIRECTORY}: can't be written to here: run outside of the container")
    if not files.exists("smart_scan"):
        raise UnsupportedError(f"{files.path_of('smart_scan')}: not there: this needs Linux 6.7 or later")


@contextlib.contextmanager
def alone() -> Iterator[tuple[int, int, list[str]]]:
    """Keep others who would borrow ksmd away, and put back what they have left behind.

    Gives descriptors of the directory of records and of the lock, and lines about what was put back.

    Raises:
        UnsupportedError: another process has borrowed ksmd.
    """
    with contextlib.ExitStack() as stack:
        directory = run_files.open_directory()
        stack.callback(os.close, directory)
        lock = _lock(directory)
        stack.callback(os.close, lock)
        yield directory, lock, _repair(directory)


class Borrowed:
    """ksmd while it is borrowed: a context manager.

    Attributes:
        saved: the knobs as they were, {name: value}.
        warnings: lines about what an earlier run had left behind.

    Raises:
        UnsupportedError: see require(); another process has mergeable memory, or has borrowed ksmd.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._step = 0
        self.saved: dict[str, int | str] = {}
        self.warnings: list[str] = []

    def __enter__(self) -> Self:
        require()
        with self._stack as stack:
            directory, lock, self.warnings = stack.enter_context(alone())
            others = files.mergeable_processes()
            if others:
                raise UnsupportedError(f"process {others[0]} has mergeable memory: ksmd would work on that too")
            self.saved = files.knobs()
            run_files.replace_record(directory, RECORD, {"values": _to_put_back(self.saved)})
            try:
                record = os.path.join(run_files.DIRECTORY, RECORD)
                stack.enter_context(Guarded(put_back.__file__, put_back.prepare, (files.DIRECTORY, record), [lock]))
            except BaseException:
                with contextlib.suppress(FileNotFoundError):  # the guard may have come to it first
                    os.unlink(RECORD, dir_fd=directory)  # nothing was changed yet
                raise
            self.reset()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, traceback)

    def reset(self, **knobs: int | str) -> None:
        """Unmerge everything, park ksmd, and set knobs: those not named get the kernel's defaults."""
        self.unmerge()
        defaults: dict[str, int | str] = {
            "advisor_mode": "none",  # while it is on, pages_to_scan can't be set
            "advisor_max_cpu": 70,
            "advisor_max_pages_to_scan": 30000,
            "advisor_min_pages_to_scan": 500,
            "advisor_target_scan_time": 200,
            "pages_to_scan": EVERYTHING,
            "max_page_sharing": 256,
            "merge_across_nodes": 1,
            "use_zero_pages": 0,
            "smart_scan": 1,
            "stable_node_chains_prune_millisecs": 2000,
        }
        for name, value in (defaults | knobs).items():
            if name in self.saved:
                files.write(name, value)

    def unmerge(self) -> None:
        """Unmerge everything and park ksmd: the next scan begins anew."""
        files.write("run", 2)
        files.write("run", 0)
        self._wake()

    def _wake(self) -> None:
        """Let ksmd out of its sleep: it ends when this value is another than when it began."""
        self._step += 1
        files.write("sleep_millisecs", NEVER_MILLISECS + self._step)

    def set(self, **knobs: int | str) -> None:
        """Set knobs."""
        for name, value in knobs.items():
            files.write(name, value)

    def counters(self) -> dict[str, int]:
        """Return the counters that this kernel has."""
        return files.counters()

    def scan(self, scans: int = 1) -> None:
        """Let ksmd make that many full scans, one per wake-up, and sleep again."""
        self.set(pages_to_scan=EVERYTHING)
        for _ in range(scans):
            self._once()

    def scan_pages(self, pages: int) -> None:
        """Let ksmd wake up once with this pages_to_scan; it ends early at the end of a full scan."""
        self.set(pages_to_scan=pages)
        self._once()

    def _once(self) -> None:
        """Let ksmd wake up once. PksmError if it has nothing to scan."""
        before, end = _work_done(), time.monotonic() + SCAN_TIMEOUT_S
        if files.read("run") != 1:
            files.write("run", 1)
        else:
            self._wake()
        while _work_done() == before:
            if time.monotonic() > end:
                raise PksmError(f"ksmd did nothing for {SCAN_TIMEOUT_S:g} s: there is nothing to scan")
            time.sleep(0.0005)
        _wait_for_sleep()


def _lock(directory: int) -> int:
    """Take the lock and return its descriptor; the guard has it too."""
    lock = os.path.join(run_files.DIRECTORY, LOCK)
    try:
        fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except OSError as error:
        raise UnsupportedError(f"{lock}: cannot be opened: {error.strerror}: remove it") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise UnsupportedError(f"{lock}: another program has borrowed ksmd: try again later") from None
    return fd


def _to_put_back(saved: dict[str, int | str]) -> list[tuple[str, str]]:
    # while the advisor is on, pages_to_scan can't be set
    first = [("advisor_mode", "none")] if "advisor_mode" in saved else []
    return first + [(name, str(value)) for name, value in saved.items()]


def _repair(directory: int) -> list[str]:
    """Put back what an earlier run and its guard could not, and return lines that say so."""
    values: list[tuple[str, str]] | None = None
    try:
        with open(os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
            record = run_files.parse_record(file.read())
        if record is not None:
            values = [(name, value) for name, value in record["values"] if name in files.KNOBS]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        values = None
    warnings = []
    if values is not None:
        refused = put_back.put_back(files.DIRECTORY, values)
        left = f", but for {', '.join(refused)}, which the kernel refuses" if refused else ""
        warnings = [f"ksmd's settings were still those of a run of pksm that was killed: they have been put back{left}"]
    os.unlink(RECORD, dir_fd=directory)
    return warnings


def _work_done() -> tuple[int | str, int | str]:
    """What changes with every wake-up of ksmd that has something to scan."""
    return files.read("full_scans"), files.read("pages_scanned")


def _wait_for_sleep() -> None:
    """Return when ksmd sleeps: what it counts behind the last full scan is counted then."""
    pid, end = files.thread(), time.monotonic() + SCAN_TIMEOUT_S
    while time.monotonic() < end:
        if tasks.read_stat(pid).state in "SI":
            return
        time.sleep(0.0005)
